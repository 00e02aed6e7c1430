public import SealedFile

/// What a slot says about itself.
extension KeySlot {
    /// For people.
    public var text: String {
        switch body {
        case .scrypt(let log2N, let r, let p, _, _):
            "passphrase, scrypt 2^\(log2N), \(r), \(p): \(Quantity.short(128 * UInt64(r) << UInt64(log2N))) of memory"
        case .pbkdf2(let iterations, _, _): "passphrase, PBKDF2 with SHA-512, \(iterations) rounds"
        case .keyFile: "key file"
        case .recipient: "recipient, X25519"
        case .unknown(let type, _): "of type \(type), which is not known"
        }
    }

    /// For scripts: type and costs.
    public var document: JSONValue {
        var members: [JSONValue.Member] = []
        func add(_ type: String, _ derivation: String?, log2N: UInt64? = nil, iterations: UInt64? = nil) {
            members = [
                .init("type", .string(type)), .init("derivation", .optional(derivation)),
                .init("log2_n", .optional(log2N)), .init("iterations", .optional(iterations)),
            ]
        }
        switch body {
        case .scrypt(let log2N, _, _, _, _): add("passphrase", "scrypt", log2N: UInt64(log2N))
        case .pbkdf2(let iterations, _, _): add("passphrase", "pbkdf2", iterations: UInt64(iterations))
        case .keyFile: add("key_file", "hkdf")
        case .recipient: add("recipient", "hpke")
        case .unknown: add("unknown", nil)
        }
        return .object(members)
    }
}
