import CSystem
import Digests
import Foundation
import Testing

@testable import Intake

@Suite("Looking closely at real files")
struct ProbeTests {
    private func look(
        _ root: SafeRoot, _ name: String, limit: Int = 1 << 20,
        decode: (OpenFile) throws -> Completeness = { _ in .complete }
    ) throws -> FileProbe.Finding {
        let file = try root.open(RelativePath(name))
        return try FileProbe(limit: limit).look(file, expecting: file.identity, decode: decode)
    }

    @Test("complete and alone")
    func complete() throws {
        let sandbox = try Sandbox()
        try sandbox.write("x", "abc")
        #expect(try look(try sandbox.root(), "x") == .init(.complete, knowsWriters: true))
    }

    @Test("somebody writes: found without waiting, over when the writer is gone")
    func writer() throws {
        let sandbox = try Sandbox()
        try sandbox.write("x", "abc")
        let root = try sandbox.root()
        let descriptor = open(sandbox.at("x"), O_WRONLY | O_CLOEXEC)
        #expect(
            try look(root, "x") { _ in
                Issue.record("decoded although somebody writes")
                return .complete
            }.result == .beingWritten)
        close(descriptor)
        #expect(try look(root, "x").result == .complete)
        // Readers do not matter, and a writer is not held up by the question.
        let reader = open(sandbox.at("x"), O_RDONLY | O_CLOEXEC)
        #expect(try look(root, "x").result == .complete)
        close(reader)
        let late = open(sandbox.at("x"), O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        #expect(late >= 0)
        close(late)
    }

    @Test("empty, with a hole, too large")
    func shapes() throws {
        let sandbox = try Sandbox()
        try sandbox.write("empty", "")
        try sandbox.write("full", String(repeating: "x", count: 4096))
        try sandbox.write("cut", String(repeating: "x", count: 65_536))
        #expect(truncate(sandbox.at("cut"), 1 << 20) == 0)
        let root = try sandbox.root()
        #expect(try look(root, "empty").result == .incomplete(reason: "the file is empty"))
        #expect(try look(root, "full").result == .complete)
        #expect(try look(root, "cut").result == .incomplete(reason: "copied in part: missing from byte 65536 on (6 %)"))
        #expect(try look(root, "full", limit: 4096).result == .complete)
        guard case .broken = try look(root, "full", limit: 4095).result else {
            Issue.record("4,096 bytes passed a limit of 4,095")
            return
        }
    }

    @Test("what the decoder says is passed on, unless the file changed meanwhile")
    func decoder() throws {
        let sandbox = try Sandbox()
        try sandbox.write("x", "abc")
        let root = try sandbox.root()
        #expect(
            try look(root, "x") { _ in .incomplete(reason: "ends early") }.result == .incomplete(reason: "ends early"))
        #expect(
            try look(root, "x") { _ in .broken(reason: "no", hint: "do") }.result == .broken(reason: "no", hint: "do"))
        let changed = try look(root, "x") { _ in
            try sandbox.write("y", "longer")
            #expect(rename(sandbox.at("y"), sandbox.at("z")) == 0)
            let descriptor = open(sandbox.at("x"), O_WRONLY | O_APPEND | O_CLOEXEC)
            write(descriptor, "d", 1)
            close(descriptor)
            return .complete
        }
        #expect(changed.result == .changed)
        struct Failure: Error {}
        #expect(throws: Failure.self) { try look(root, "x") { _ in throw Failure() } }
        let file = try root.open(RelativePath("x"))
        var other = file.identity
        other.size += 1
        #expect(FileProbe().look(file, expecting: other) { _ in .complete }.result == .changed)
    }
}

@Suite("Snapshots")
struct SnapshotTests {
    private func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

    @Test("a copy under its digest, once for equal bytes")
    func copy() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("state")
        try sandbox.write("x", "abc")
        try sandbox.write("y", "abc")
        let root = try sandbox.root()
        let state = try sandbox.root("state")
        let first = try Snapshot.take(try root.open("x"), into: state)
        #expect(first.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(first.size == 3)
        #expect(try Snapshot.take(try root.open("y"), into: state).sha256 == first.sha256)
        #expect(try FileManager.default.contentsOfDirectory(atPath: state.path) == [first.sha256])
        #expect(try bytes(sandbox.at("state/\(first.sha256)")) == Data("abc".utf8))
    }

    @Test("large files arrive whole")
    func large() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("state")
        var data = Data(count: 1_000_003)
        for index in data.indices { data[index] = UInt8(truncatingIfNeeded: index &* 31 &+ index >> 8) }
        try data.write(to: URL(fileURLWithPath: sandbox.at("x")))
        let taken = try Snapshot.take(try sandbox.root().open("x"), into: try sandbox.root("state"))
        #expect(try bytes(sandbox.at("state/\(taken.sha256)")) == data)
    }

    @Test("behaviour 8: an input overwritten while it is copied is no snapshot and leaves nothing behind")
    func torn() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("state")
        try sandbox.write("x", String(repeating: "a", count: 10_000))
        let state = try sandbox.root("state")
        let file = try sandbox.root().open("x")
        let error = #expect(throws: IntakeError.self) {
            _ = try Snapshot.take(file, into: state) {
                let descriptor = open(sandbox.at("x"), O_WRONLY | O_TRUNC | O_CLOEXEC)
                write(descriptor, "bbb", 3)
                close(descriptor)
            }
        }
        #expect(error?.code == .changed)
        #expect(try FileManager.default.contentsOfDirectory(atPath: state.path).isEmpty)
    }

    @Test("an input overwritten after its snapshot changes no byte of it")
    func overwrittenLater() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("state")
        try sandbox.write("x", "first")
        let taken = try Snapshot.take(try sandbox.root().open("x"), into: try sandbox.root("state"))
        let descriptor = open(sandbox.at("x"), O_WRONLY | O_TRUNC | O_CLOEXEC)
        write(descriptor, "second", 6)
        close(descriptor)
        #expect(try bytes(sandbox.at("state/\(taken.sha256)")) == Data("first".utf8))
    }

    @Test("another state than the settled one, and files above the limit, are refused")
    func refused() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("state")
        try sandbox.write("x", "abc")
        let file = try sandbox.root().open("x")
        let state = try sandbox.root("state")
        var other = file.identity
        other.changed += 1
        let changed = #expect(throws: IntakeError.self) { _ = try Snapshot.take(file, expecting: other, into: state) }
        #expect(changed?.code == .changed)
        let large = #expect(throws: IntakeError.self) { _ = try Snapshot.take(file, into: state, limit: 2) }
        #expect(large?.code == .tooLarge)
    }

    @Test("a full disk is told as such and leaves nothing behind", .enabled(if: access("/dev/full", W_OK) == 0))
    func fullDisk() {
        let descriptor = open("/dev/full", O_WRONLY | O_CLOEXEC)
        defer { close(descriptor) }
        let number = [UInt8](repeating: 1, count: 10).withUnsafeBytes { RawIO.writeAll(descriptor, $0) }
        #expect(number == ENOSPC)
        #expect(IntakeError.system(number, doing: "copy", name: "x").code == .noSpace)
    }

    @Test(
        "SHA-256 by the standard's vectors",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
            (
                "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
                "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
            ),
            (
                String(repeating: "a", count: 1_000_000),
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
            ),
        ])
    func vectors(_ text: String, _ expected: String) {
        var whole = Digest()
        Array(text.utf8).withUnsafeBytes { whole.add($0) }
        #expect(whole.hexadecimal == expected)
        // In pieces of every size up to a block and a bit.
        var pieces = Digest()
        var rest = Array(text.utf8)[...]
        var size = 1
        while !rest.isEmpty {
            Array(rest.prefix(size)).withUnsafeBytes { pieces.add($0) }
            rest = rest.dropFirst(size)
            size = size % 67 + 1
        }
        #expect(pieces.hexadecimal == expected)
    }

    @Test("the portable rounds agree with the processor's")
    func portable() {
        let block = (0..<640).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        var state: [UInt32] = [
            0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
        ]
        dropreel_sha256_blocks_portable(&state, block, 10)
        var running = dropreel_sha256()
        dropreel_sha256_start(&running)
        dropreel_sha256_add(&running, block, block.count)
        let fast = withUnsafeBytes(of: running.state) { Array($0.bindMemory(to: UInt32.self)) }
        #expect(state == fast)
    }
}
