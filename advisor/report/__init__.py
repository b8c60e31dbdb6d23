"""The recommendation as a document, a PDF and a web page."""
