"""Everything that crosses a topic: layouts, Avro schemas, codecs and topic definitions.

The only thing that producers, streams and sinks share.
"""
