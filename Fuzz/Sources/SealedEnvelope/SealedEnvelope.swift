import ByteCodec
import Cipher
import SealedFile

// The envelope of a sealed container: it is parsed or refused just as a model of the rules says, with the same code; and no
// key opens it unless a slot has it and the code fits. Flags (first byte): 1 corrects the length, 2 the number of slots, 4
// makes the first slot one that the key file opens, 8 the code.

private let keyFile = [UInt8](repeating: 0x5A, count: 32)
private let masterKey = [UInt8](repeating: 0x77, count: 32)

/// A slot of type 3, with its head, that leads to the master key.
private let knownSlot: [UInt8] = {
    let salt = [UInt8](repeating: 1, count: 32)
    let info = Array("vhdseal/1/keyfile".utf8)
    let key = HKDFSHA256.key(keyFile.rawBytes, salt: salt.rawBytes, info: info.rawBytes)
    return [3, 0, 72, 0] + salt + KeyWrap.wrap(masterKey.rawBytes, with: key.bytes)
}()

private func integer(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> Int {
    (0..<count).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
}

private func store(_ value: Int, _ bytes: inout [UInt8], _ offset: Int, _ count: Int) {
    for index in 0..<count { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
}

/// The code that these bytes have to have, should the master key be theirs.
private func code(_ covered: [UInt8]) -> [UInt8] {
    let info = Array("vhdseal/1/header".utf8) + [0] + covered[10..<14] + covered[32..<48]
    let key = HKDFSHA256.expand(masterKey.rawBytes, info: info.rawBytes)
    return HMACSHA256.code(covered.rawBytes, key: key.bytes)
}

/// The rule that the bytes break first; nil for an envelope. The places of its slots otherwise.
private func judge(_ bytes: [UInt8]) -> (code: String?, slots: [Range<Int>]) {
    let signature: [UInt8] = [0x89, 0x53, 0x45, 0x41, 0x4C, 0x0D, 0x0A, 0x1A]
    guard bytes.count >= 64, Array(bytes[..<8]) == signature else { return ("SEAL001", []) }
    guard Array(bytes[8..<12]) == [1, 0, 1, 0], integer(bytes, 20, 4) == 0 else { return ("SEAL002", []) }
    guard integer(bytes, 16, 4) == bytes.count, (96...65_536).contains(bytes.count) else { return ("SEAL003", []) }
    let chunks = [1: [65_536], 2: [4096, 8192, 16_384, 32_768, 65_536]][integer(bytes, 12, 2)] ?? []
    guard chunks.contains(integer(bytes, 28, 4)) else { return ("SEAL003", []) }
    guard integer(bytes, 14, 2) > 0 else { return ("SEAL011", []) }
    guard integer(bytes, 14, 2) <= 32 else { return ("SEAL003", []) }
    let end = bytes.count - 32
    var (place, slots) = (64, [Range<Int>]())
    for _ in 0..<integer(bytes, 14, 2) {
        guard place + 4 <= end else { return ("SEAL004", []) }
        let (type, length) = (integer(bytes, place, 2), integer(bytes, place + 2, 2))
        let body = place + 4
        guard body + length <= end, length == [1: 76, 2: 76, 3: 72, 4: 80][type] ?? length else {
            return ("SEAL004", [])
        }
        let cost = type == 1 || type == 2 ? Array(bytes[body..<body + 4]) : []
        if type == 1, !(14...20).contains(cost[0]) || cost[1] != 8 || !(1...4).contains(cost[2]) || cost[3] != 0 {
            return ("SEAL005", [])
        }
        if type == 2, !(210_000...10_000_000).contains(integer(bytes, body, 4)) { return ("SEAL005", []) }
        slots.append(place..<body + length)
        place = body + length
    }
    return place == end ? (nil, slots) : ("SEAL003", [])
}

/// The input after what its flags ask for.
private func prepared(_ input: [UInt8]) -> [UInt8] {
    let flags = input[0]
    var bytes = Array(input.dropFirst())
    if flags & 4 != 0, bytes.count >= 64 {
        bytes.replaceSubrange(64..<min(bytes.count, 64 + knownSlot.count), with: knownSlot)
    }
    if flags & 8 != 0, bytes.count >= 64 { bytes += [UInt8](repeating: 0, count: 32) }
    guard bytes.count >= 96 else { return bytes }
    if flags & 1 != 0 { store(bytes.count, &bytes, 16, 4) }
    if flags & 2 != 0 {
        // As many as there are, unless they end elsewhere than they should.
        var (place, count) = (64, 0)
        while place + 4 <= bytes.count - 32, count < 32 {
            place += 4 + integer(bytes, place + 2, 2)
            count += 1
        }
        store(count, &bytes, 14, 2)
    }
    if flags & 8 != 0 { bytes.replaceSubrange(bytes.count - 32..<bytes.count, with: code(Array(bytes.dropLast(32)))) }
    return bytes
}

@_cdecl("LLVMFuzzerTestOneInput")
public func test(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = [UInt8](UnsafeBufferPointer(start: start, count: count))
    guard !input.isEmpty else { return 0 }
    let bytes = prepared(input)
    let (expected, slots) = judge(bytes)
    if let length = try? Envelope.byteCount(inHeader: bytes.rawBytes) {
        precondition((96...65_536).contains(length), "a length that none can have")
    } else {
        precondition(expected != nil, "an envelope whose header is refused")
    }
    do throws(FormatError) {
        let envelope = try Envelope(bytes.rawBytes)
        precondition(expected == nil, "\(expected ?? "") is not seen")
        precondition(envelope.slots.count == slots.count)
        open(envelope, bytes, slots)
    } catch { precondition(error.code.rawValue == expected, "\(error), not \(expected ?? "accepted")") }
    return 0
}

private func open(_ envelope: Envelope, _ bytes: [UInt8], _ slots: [Range<Int>]) {
    let hasKnown = slots.contains { Array(bytes[$0]) == knownSlot }
    let isCoded = code(Array(bytes.dropLast(32))) == Array(bytes.suffix(32))
    do throws(CipherError) {
        let secret = SecretBytes(copying: keyFile.rawBytes)
        let identity = SecretBytes(copying: keyFile.rawBytes)
        let keys = try envelope.keys(
            [.identity(Identity(privateKey: identity)), .keyFile(secret)], confirming: bytes.rawBytes)
        precondition(hasKnown && isCoded, "opened without its key")
        precondition(envelope.bytes(keys) == bytes, "written again it is another one")
    } catch { precondition(error == .notAuthentic && !(hasKnown && isCoded), "does not open: \(error)") }
}
