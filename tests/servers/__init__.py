"""The servers that the tests run on: started by the tests, on free loopback ports, and ended with them."""
