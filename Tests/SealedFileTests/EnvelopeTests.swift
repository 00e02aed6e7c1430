import Testing
@Suite struct EnvelopeTests {}
