"""The servers that the tests run against: real ones, private to a test run, on loopback."""
