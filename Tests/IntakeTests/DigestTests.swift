import Digests
import Foundation
import TestSupport
import Testing

/// SHA-256 of files, against digests that others computed.
@Suite struct DigestTests {
    private let scratch: ScratchFolder

    init() throws { scratch = try ScratchFolder() }

    private func digest(_ bytes: [UInt8], skipping: Int = 0) throws -> String {
        let file = scratch.url.appending(path: "bytes")
        try Data(bytes).write(to: file)
        let descriptor = open(file.path, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        try #require(descriptor >= 0 && lseek(descriptor, off_t(skipping), SEEK_SET) == skipping)
        return try Digest.ofRest(descriptor: descriptor)
    }

    @Test func filesOfEveryLengthAreReadToTheirEnd() throws {
        // Source: FIPS 180-4, examples of SHA-256; the third is a million times "a".
        #expect(try digest([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(
            try digest(Array("abc".utf8)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        let million = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
        let known = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        #expect(try digest(million) == known)
        // More than one buffer, and what lies before the place of reading does not count.
        let large = (0..<3_000_001).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        #expect(try digest(large) == Digest.of(large))
        #expect(try digest(large, skipping: 1_500_000) == Digest.of(large[1_500_000...]))
    }

    @Test func whatCannotBeReadSaysWhy() throws {
        let folder = open(scratch.url.path, O_RDONLY | O_CLOEXEC)
        defer { close(folder) }
        #expect(throws: Digest.ReadFailure(errno: EISDIR)) { try Digest.ofRest(descriptor: folder) }
        #expect(throws: Digest.ReadFailure(errno: EBADF)) { try Digest.ofRest(descriptor: -1) }
    }
}
