"""Processes of a deployment: settings in, sockets and clients opened, the core run until a signal."""
