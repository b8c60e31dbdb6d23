"""llama.cpp: builds, command lines, logs, dry runs and the worker process."""
