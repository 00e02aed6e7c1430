import BlockIO
import ByteCodec
import Cipher
import Foundation
import SealedFile
import Testing
import ToolTesting

/// seal-slot rotate: the same contents under a new key, in the place of the old file, or the old file as it was.
@Suite struct SealRotateTests {
    private let folder: SealFolder
    /// Of `other.txt`.
    private let other: String

    init() throws {
        folder = try SealFolder()
        let told = try folder.run("seal-keygen", ["-y", "other.txt"])
        other = told.output.trimmingCharacters(in: .newlines)
    }

    private func rotate(_ arguments: String...) throws -> ProgramResult {
        try folder.run("seal-slot", ["rotate", "-i", "key.txt", "-R", other] + arguments)
    }

    private func status(_ name: String, _ key: String) throws -> [String: Any] {
        let result = try folder.run("seal-status", ["--json", "--verify", "-i", key, name])
        #expect(result.exit == 0, "\(result.error)")
        return try #require(try folder.document(result, "seal-status")["result"] as? [String: Any])
    }

    @Test(arguments: ["4K", "64K"]) func images(chunk: String) throws {
        let text = SealFolder.text(3_000_001)
        try folder.seal("image", text, "--image", "--chunk", chunk)
        let (old, before) = (try status("image", "key.txt"), try folder.bytes("image"))
        let rotated = try rotate("image")
        #expect(rotated.exit == 0, "\(rotated.error)")
        #expect(
            rotated.output.hasPrefix("image: sealed image of 2.8 MiB (3000001 bytes) has a new data key, for 1 key\n"))
        #expect(rotated.error.contains("anchors of the old container do not fit the new one"))
        let new = try status("image", "other.txt")
        #expect(old["container_id"] as? String != new["container_id"] as? String)
        #expect(old["chunk_size"] as? Int == new["chunk_size"] as? Int)
        #expect((new["slots"] as? [Any])?.count == 1)
        #expect(rotated.output.contains("  anchor \(new["anchor"] as? String ?? "none")\n"))
        #expect(try folder.run("unseal", ["-i", "other.txt", "image"]).outputBytes == text)
        #expect(try folder.run("unseal", ["-i", "key.txt", "image"]).exit == 4)
        let anchor = try #require(old["anchor"] as? String)
        let refused = try folder.run("unseal", ["--anchor", anchor, "-i", "other.txt", "image"])
        #expect(refused.exit == 4 && refused.error.contains("it is another container's"), "\(refused.error)")
        // No chunk is what it was.
        let after = try folder.bytes("image")
        #expect(after.suffix(4096) != before.suffix(4096))
        guard let theirs = try folder.secondReader(["--identity", "other.txt"], "image") else { return }
        #expect(theirs.exit == 0 && theirs.outputBytes == text, "\(theirs.error)")
    }

    /// A small image stays small.
    @Test func journals() throws {
        let key = try folder.bytes("disk.key")
        let secret = SlotKey.keyFile(SecretBytes(copying: key.rawBytes))
        // Its lock ends with the file.
        try SealedImage.create(
            on: PosixFile(folder.scratch.path("small"), .create), for: [secret],
            journalByteCount: SealedImage.smallJournalByteCount, creationTime: 0
        ).close()
        let before = try folder.bytes("small").count
        let rotated = try folder.run("seal-slot", ["rotate", "--key-file", "disk.key", "-R", other, "small"])
        #expect(rotated.exit == 0, "\(rotated.error)")
        #expect(try folder.bytes("small").count == before && before < 2 << 20)
    }

    @Test(arguments: [0, 65_536, 400_000]) func streams(byteCount: Int) throws {
        let text = SealFolder.text(byteCount)
        try folder.seal("stream", text)
        let old = try status("stream", "key.txt")
        let rotated = try rotate("stream")
        #expect(rotated.exit == 0 && !rotated.error.contains("anchor"), "\(rotated.error)")
        let new = try status("stream", "other.txt")
        #expect(old["container_id"] as? String != new["container_id"] as? String)
        #expect(try folder.run("unseal", ["-i", "other.txt", "stream"]).outputBytes == text)
        #expect(try folder.run("unseal", ["-i", "key.txt", "stream"]).exit == 4)
        guard let theirs = try folder.secondReader(["--identity", "other.txt"], "stream") else { return }
        #expect(theirs.exit == 0 && theirs.outputBytes == text, "\(theirs.error)")
    }

    @Test func holesStayHoles() throws {
        let result = try folder.shell(
            "truncate -s 8G sparse && printf here | dd of=sparse bs=1 seek=5G conv=notrunc status=none && "
                + "seal -q --image --key-file disk.key -o s sparse && "
                + "seal-slot rotate -q --key-file disk.key --new-key-file disk.key s && du -k s | cut -f1 && "
                + "unseal -q --key-file disk.key -o back s && dd if=back bs=1 skip=5G count=4 status=none")
        let lines = result.output.split(separator: "\n")
        #expect(result.exit == 0 && lines.count == 2 && lines.last == "here", "\(result.output) \(result.error)")
        #expect((lines.first.flatMap { Int($0) } ?? .max) < 256, "\(result.output)")
    }

    /// The old file as it was, and nothing beside it.
    @Test func failures() throws {
        let text = SealFolder.text(300_000)
        try folder.seal("image", text, "--image")
        var changed = try folder.bytes("image")
        changed[changed.count - 50] ^= 0x80
        _ = try folder.scratch.write("changed", changed)
        try folder.seal("stream", text)
        let stream = try folder.bytes("stream")
        _ = try folder.scratch.write("cut", Array(stream.prefix(200_000)))
        _ = try folder.scratch.write(
            "flipped", stream.enumerated().map { $0.offset == 250_000 ? $0.element ^ 1 : $0.element })
        let anchor = try #require(try status("image", "key.txt")["anchor"] as? String)
        try folder.seal("later", text, "--image")
        let names = try folder.scratch.names()
        for (arguments, exit, problem) in [
            (["changed"], Int32(4), "the bytes are not those that were sealed (offset 0x48000)"),
            (["cut"], 2, "SEAL010"), (["flipped"], 4, "segment 3 of frame 0 is not authentic"),
            (["--anchor", anchor, "later"], 4, "it is another container's"),
            (["--anchor", anchor, "stream"], 2, "which has no anchor; leave out --anchor"),
            (["--new-key-file", "absent", "image"], 2, "No such file"),
        ] {
            let name = try #require(arguments.last)
            let before = try folder.bytes(name)
            for end in [[], ["--dry-run"]] {
                let refused = try folder.run("seal-slot", ["rotate", "-i", "key.txt", "-R", other] + end + arguments)
                #expect(refused.exit == exit && refused.output.isEmpty, "\(arguments)")
                #expect(refused.error.contains(problem), "\(refused.error)")
            }
            #expect(try folder.bytes(name) == before)
        }
        #expect(try folder.scratch.names() == names)
    }

    /// Where there is no room for the new one.
    @Test func fullDisk() throws {
        let text = SealFolder.text(2_000_000)
        try folder.seal("image", text, "--image")
        try folder.seal("stream", text)
        let names = try folder.scratch.names()
        for name in ["image", "stream"] {
            let before = try folder.bytes(name)
            let refused = try folder.shell(
                "trap '' XFSZ; ulimit -f 1000; seal-slot rotate -i key.txt -R \(other) \(name)")
            #expect(refused.exit == 2 && refused.output.isEmpty && refused.error.contains("File too large"))
            #expect(try folder.bytes(name) == before)
        }
        #expect(try folder.scratch.names() == names)
    }

    /// Permissions stay, a link to the file stays a link, and other names of the old file are told.
    @Test func names() throws {
        try folder.seal("image", SealFolder.text(1000), "--image")
        let result = try folder.shell(
            "chmod 640 image && mkdir links && ln -s ../image links/here && ln image second && "
                + "seal-slot rotate -i key.txt -R \(other) links/here && stat -c '%a %h' image && readlink links/here && "
                + "unseal -i other.txt links/here | wc -c && unseal -i key.txt second | wc -c && ls links")
        #expect(result.exit == 0 && result.output.hasSuffix("640 1\n../image\n1000\n1000\nhere\n"), "\(result.output)")
        #expect(result.error.contains("other names of the old file that still lead to it: 1"), "\(result.error)")
    }
}
