import ByteCodec
import Cipher

/// One way to a container's master key (docs/formats/sealed.md, Slots).
public struct KeySlot: Equatable, Sendable {
    public enum Body: Equatable, Sendable {
        /// Type 1.
        case scrypt(log2N: UInt8, r: UInt8, p: UInt8, salt: [UInt8], wrapped: [UInt8])
        /// Type 2.
        case pbkdf2(iterations: UInt32, salt: [UInt8], wrapped: [UInt8])
        /// Type 3.
        case keyFile(salt: [UInt8], wrapped: [UInt8])
        /// Type 4.
        case recipient(encapsulated: [UInt8], sealed: [UInt8])
        /// Of a type to come: kept, and of no use here.
        case unknown(type: UInt16, body: [UInt8])
    }
    public var body: Body

    public init(_ body: Body) { self.body = body }

    static let saltByteCount = 32
    static let masterKeyByteCount = 32
    static let sealedKeyByteCount = 48
    /// What is accepted from a file. With r = 8 scrypt takes 2^(10 + log2N) bytes: at most 1 GiB.
    static let acceptedLog2N: ClosedRange<UInt8> = 14...20
    static let acceptedR: UInt8 = 8
    static let acceptedP: ClosedRange<UInt8> = 1...4
    static let acceptedIterations: ClosedRange<UInt32> = 210_000...10_000_000
    public static let defaultLog2N: UInt8 = 17
    public static let defaultIterations: UInt32 = 600_000
    /// A shorter key file is refused: it could be guessed.
    public static let shortestKeyFile = 32

    var type: UInt16 {
        switch body {
        case .scrypt: 1
        case .pbkdf2: 2
        case .keyFile: 3
        case .recipient: 4
        case .unknown(let type, _): type
        }
    }

    /// Type, length and body.
    var bytes: [UInt8] {
        let contents: [UInt8] =
            switch body {
            case .scrypt(let log2N, let r, let p, let salt, let wrapped): [log2N, r, p, 0] + salt + wrapped
            case .pbkdf2(let iterations, let salt, let wrapped):
                (0..<4).map { UInt8(truncatingIfNeeded: iterations >> (8 * UInt32($0))) } + salt + wrapped
            case .keyFile(let salt, let wrapped): salt + wrapped
            case .recipient(let encapsulated, let sealed): encapsulated + sealed
            case .unknown(_, let body): body
            }
        return SlotHeader(type: type, length: UInt16(contents.count)).serialized() + contents
    }

    /// - Parameters:
    ///   - body: the whole body, without its head.
    ///   - offset: of the body in the file, for errors.
    /// - Throws: SEAL004 for a wrong length, SEAL005 for costs that are not accepted.
    init(type: UInt16, body: RawSpan, at offset: UInt64) throws(FormatError) {
        let lengths: [UInt16: Int] = [
            1: 4 + Self.saltByteCount + KeyWrap.wrappedByteCount, 2: 4 + Self.saltByteCount + KeyWrap.wrappedByteCount,
            3: Self.saltByteCount + KeyWrap.wrappedByteCount, 4: X25519.keyByteCount + Self.sealedKeyByteCount,
        ]
        guard let length = lengths[type] else {
            self.body = .unknown(type: type, body: body.array(0..<body.byteCount))
            return
        }
        guard body.byteCount == length else {
            throw FormatError(
                .sealedSlot, field: "Length", offset: offset - 2,
                "is \(body.byteCount), a slot of type \(type) has \(length)",
                section: "Slots")
        }
        func part(_ start: Int, _ count: Int) -> [UInt8] { body.array(start..<start + count) }
        switch type {
        case 1:
            let cost = part(0, 4)
            let (log2N, r, p) = (cost[0], cost[1], cost[2])
            let isAccepted = Self.acceptedLog2N.contains(log2N) && r == Self.acceptedR && Self.acceptedP.contains(p)
            guard isAccepted, cost[3] == 0 else {
                throw FormatError(
                    .sealedCost, field: "scrypt", offset: offset,
                    "is to cost 2^\(log2N), \(r), \(p), \(cost[3]); accepted are 2^14 to 2^20, 8, 1 to 4, 0",
                    section: "Slots")
            }
            self.body = .scrypt(log2N: log2N, r: r, p: p, salt: part(4, 32), wrapped: part(36, 40))
        case 2:
            let iterations: UInt32 = body.integer(at: 0, .little)
            guard Self.acceptedIterations.contains(iterations) else {
                throw FormatError(
                    .sealedCost, field: "PBKDF2", offset: offset,
                    "is to take \(iterations) rounds; accepted are 210000 to 10000000", section: "Slots")
            }
            self.body = .pbkdf2(iterations: iterations, salt: part(4, 32), wrapped: part(36, 40))
        case 3: self.body = .keyFile(salt: part(0, 32), wrapped: part(32, 40))
        default: self.body = .recipient(encapsulated: part(0, 32), sealed: part(32, 48))
        }
    }
}
