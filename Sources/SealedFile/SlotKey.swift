import ByteCodec
public import Cipher

/// A secret with which slots are made and opened.
public enum SlotKey: Sendable {
    case passphrase(SecretBytes, PassphraseCost)
    /// At least `KeySlot.shortestKeyFile` bytes.
    case keyFile(SecretBytes)
    /// For making slots only.
    case recipient(Recipient)
    /// For opening slots only.
    case identity(Identity)
    /// The keys of one container, found before: opens that one at no cost, and makes no slots.
    case opened(containerID: [UInt8], ContainerKeys)

    /// What a new passphrase slot costs to open; slots that are there say it themselves.
    public enum PassphraseCost: Equatable, Sendable {
        case scrypt(log2N: UInt8)
        case pbkdf2(iterations: UInt32)
        public static let standard = PassphraseCost.scrypt(log2N: KeySlot.defaultLog2N)

        /// Whether a slot of this cost will be opened.
        public var isAccepted: Bool {
            switch self {
            case .scrypt(let log2N): KeySlot.acceptedLog2N.contains(log2N)
            case .pbkdf2(let iterations): KeySlot.acceptedIterations.contains(iterations)
            }
        }
    }

    private static let keyFileInfo = Array("vhdseal/1/keyfile".utf8)
    private static let recipientInfo = Array("vhdseal/1/slot".utf8)

    /// A slot that leads to a master key.
    /// - Throws: `.derivationFailed`, also for a cost at which nobody would open the slot; `.invalidKey`, also for a key file
    ///   that is too short.
    func slot(for masterKey: SecretBytes, containerID: [UInt8], random: RandomSource) throws(CipherError) -> KeySlot {
        if case .passphrase(_, let cost) = self, !cost.isAccepted { throw .derivationFailed }
        if case .keyFile(let file) = self, file.byteCount < KeySlot.shortestKeyFile { throw .invalidKey }
        let salt = random.bytes(KeySlot.saltByteCount)
        func wrapped(_ key: SecretBytes) -> [UInt8] { KeyWrap.wrap(masterKey.bytes, with: key.bytes) }
        switch self {
        case .passphrase(let passphrase, .scrypt(let log2N)):
            let key = try PasswordKeys.scrypt(passphrase.bytes, salt: salt.rawBytes, log2N: Int(log2N), r: 8, p: 1)
            return KeySlot(.scrypt(log2N: log2N, r: 8, p: 1, salt: salt, wrapped: wrapped(key)))
        case .passphrase(let passphrase, .pbkdf2(let iterations)):
            let key = try PasswordKeys.pbkdf2SHA512(passphrase.bytes, salt: salt.rawBytes, iterations: iterations)
            return KeySlot(.pbkdf2(iterations: iterations, salt: salt, wrapped: wrapped(key)))
        case .keyFile(let file):
            let key = HKDFSHA256.key(file.bytes, salt: salt.rawBytes, info: Self.keyFileInfo.rawBytes)
            return KeySlot(.keyFile(salt: salt, wrapped: wrapped(key)))
        case .recipient(let recipient): return try Self.slot(for: recipient, masterKey, containerID, random)
        case .identity(let identity): return try Self.slot(for: identity.recipient, masterKey, containerID, random)
        case .opened: throw .invalidKey
        }
    }

    private static func slot(
        for recipient: Recipient, _ masterKey: SecretBytes, _ containerID: [UInt8], _ random: RandomSource
    ) throws(CipherError) -> KeySlot {
        let info = recipientInfo + containerID
        let none = [UInt8]()
        let sealed = try HPKE.seal(
            masterKey.bytes, to: recipient.publicKey.rawBytes, info: info.rawBytes, additional: none.rawBytes,
            random: random)
        return KeySlot(.recipient(encapsulated: sealed.encapsulated, sealed: sealed.text))
    }

    /// The master key that a slot leads to; nil where this secret is not for slots of its type.
    /// - Throws: `.notAuthentic` where it is another secret's; `.invalidKey` for a key file that is too short;
    ///   `.derivationFailed`.
    func masterKey(in slot: KeySlot, containerID: [UInt8]) throws(CipherError) -> SecretBytes? {
        switch (self, slot.body) {
        case (.passphrase(let passphrase, _), .scrypt(let log2N, let r, let p, let salt, let wrapped)):
            let key = try PasswordKeys.scrypt(
                passphrase.bytes, salt: salt.rawBytes, log2N: Int(log2N), r: Int(r), p: Int(p))
            return try KeyWrap.unwrap(wrapped.rawBytes, with: key.bytes)
        case (.passphrase(let passphrase, _), .pbkdf2(let iterations, let salt, let wrapped)):
            let key = try PasswordKeys.pbkdf2SHA512(passphrase.bytes, salt: salt.rawBytes, iterations: iterations)
            return try KeyWrap.unwrap(wrapped.rawBytes, with: key.bytes)
        case (.keyFile(let file), .keyFile(let salt, let wrapped)):
            guard file.byteCount >= KeySlot.shortestKeyFile else { throw .invalidKey }
            let key = HKDFSHA256.key(file.bytes, salt: salt.rawBytes, info: Self.keyFileInfo.rawBytes)
            return try KeyWrap.unwrap(wrapped.rawBytes, with: key.bytes)
        case (.identity(let identity), .recipient(let encapsulated, let sealed)):
            let info = Self.recipientInfo + containerID
            let none = [UInt8]()
            return try HPKE.open(
                HPKE.Sealed(encapsulated: encapsulated, text: sealed), with: identity.privateKey, info: info.rawBytes,
                additional: none.rawBytes)
        default: return nil
        }
    }
}
