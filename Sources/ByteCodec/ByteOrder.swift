/// Order of the bytes of an integer on disk: VHDX and HRL are little-endian, VHD is big-endian.
public enum ByteOrder: Sendable { case little, big }
