"""The application: command line, settings, supervision of processes, embedded broker and store."""

__version__ = "0.1.0"
