"""What each part of the report says: from the session's results to blocks."""
