"""The API, a file for each thing that is asked about. Each makes a router over a `Console`."""
