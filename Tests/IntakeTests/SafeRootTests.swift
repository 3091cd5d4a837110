import CSystem
import Foundation
import Testing

@testable import Intake

@Suite("Nothing leaves the tree, nothing stalls it")
struct SafeRootTests {
    private func code(_ root: SafeRoot, _ path: String) -> IntakeError.Code? {
        do {
            _ = try root.open(RelativePath(path))
            return nil
        } catch {
            return error.code
        }
    }

    @Test("ordinary files are opened and read")
    func ordinary() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("in/a")
        try sandbox.write("in/a/x.prompt", "a cat")
        let file = try sandbox.root("in").open(RelativePath("a/x.prompt"))
        #expect(String(decoding: try file.readAll(limit: 100), as: UTF8.self) == "a cat")
        #expect(file.identity.size == 5)
        #expect(throws: IntakeError.self) { try file.readAll(limit: 4) }
        #expect(try file.readAll(limit: 5).count == 5)
    }

    @Test("what is refused, and why")
    func refused() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("in/real")
        try sandbox.folder("out")
        try sandbox.write("secret", "s")
        try sandbox.write("out/secret", "s")
        try sandbox.write("in/real/x", "x")
        symlink("../secret", sandbox.at("in/link"))
        symlink("/etc/passwd", sandbox.at("in/absolute"))
        symlink("../out", sandbox.at("in/folder"))
        symlink("real", sandbox.at("in/inside"))
        symlink("loop", sandbox.at("in/loop"))
        #expect(mkfifo(sandbox.at("in/fifo"), 0o644) == 0)
        try makeSocket(sandbox.at("in/s"))
        let root = try sandbox.root("in")
        for path in [
            "link", "absolute", "folder/secret", "inside/x", "loop", "fifo", "s", "..", "../secret",
            "real/../../secret", "real",
        ] {
            #expect(code(root, path) == .unsafe, "\(path)")
        }
        for path in ["/etc/passwd", "/", sandbox.at("secret")] {
            #expect(code(root, path) == .unsafe, "\(path)")
        }
        #expect(code(root, "nothing") == .absent)
        #expect(code(root, String(repeating: "n", count: 300)) == .name)
        #expect(code(root, "a\u{0}b") == .name)
        #expect(code(root, "real/x") == nil)
    }

    @Test("a device is refused", .enabled(if: geteuid() == 0))
    func device() throws {
        let sandbox = try Sandbox()
        // Where even the superuser may not make devices there is nothing to refuse.
        guard mknod(sandbox.at("d"), S_IFCHR | 0o666, dev_t(1 << 8 | 5)) == 0 else { return }
        #expect(code(try sandbox.root(), "d") == .unsafe)
    }

    @Test("a hard link is taken only where the kernel protects links, and its first name never suffers")
    func hardLink() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("in/_done")
        try sandbox.folder("state")
        try sandbox.write("foreign", "secret")
        try #require(link(sandbox.at("foreign"), sandbox.at("in/x")) == 0)
        let wary = try SafeRoot(path: sandbox.at("in"), trustsHardLinks: false)
        #expect(code(wary, "x") == .unsafe)
        let trusting = try SafeRoot(path: sandbox.at("in"), trustsHardLinks: true)
        let taken = try Snapshot.take(try trusting.open(RelativePath("x")), into: try sandbox.root("state"))
        #expect(taken.size == 6)
        // What happens to an input afterwards happens to this name alone.
        try trusting.move(RelativePath("x"), to: RelativePath("_done/x"))
        try trusting.remove(RelativePath("_done/x"))
        #expect(try String(contentsOfFile: sandbox.at("foreign"), encoding: .utf8) == "secret")
        // One name only: ordinary.
        try sandbox.write("in/y", "y")
        #expect(code(wary, "y") == nil)
    }

    @Test("a name that is as long as names can be is moved; a longer one is refused, not cut")
    func longNames() throws {
        let sandbox = try Sandbox()
        let root = try sandbox.root()
        let longest = String(repeating: "n", count: 255)
        try sandbox.write(longest, "x")
        try root.move(RelativePath(longest), to: RelativePath("x"))
        #expect(try root.observe(RelativePath("x"))?.identity.size == 1)
        for count in [256, 300, 5_000] {
            let name = String(repeating: "n", count: count)
            #expect(code(root, name) == .name)
            #expect(throws: IntakeError.self) { try root.move(RelativePath("x"), to: RelativePath(name)) }
            #expect(throws: IntakeError.self) { try root.create(RelativePath(name), bytes: []) }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: sandbox.path) == ["x"])
    }

    @Test("a pipe without a writer stalls neither opening nor inspecting")
    func pipe() throws {
        let sandbox = try Sandbox()
        try #require(mkfifo(sandbox.at("p.png"), 0o666) == 0)
        let root = try sandbox.root()
        let start = ContinuousClock.now
        #expect(code(root, "p.png") == .unsafe)
        #expect(try root.observe(RelativePath("p.png")) == nil)
        #expect(ContinuousClock.now - start < .seconds(5))
    }

    @Test("the fallback without openat2 refuses the same")
    func stepwise() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("in/a/b")
        try sandbox.write("secret", "s")
        try sandbox.write("in/a/b/x", "x")
        symlink("..", sandbox.at("in/up"))
        symlink("../secret", sandbox.at("in/link"))
        let root = try sandbox.root("in")
        func number(_ path: String) -> Int32 {
            let opened = dropreel_open_beneath_stepwise(root.descriptor, path, O_RDONLY | O_NONBLOCK, 0)
            guard opened < 0 else {
                close(opened)
                return 0
            }
            return errno
        }
        #expect(number("a/b/x") == 0)
        #expect(number(".") == 0)
        #expect(number("up/secret") == ENOTDIR)
        #expect(number("link") == ELOOP)
        for path in ["..", "../secret", "a/../../secret", "/etc/passwd", "a//b", "a/b/", ""] {
            #expect(number(path) == EINVAL, "\(path)")
        }
        #expect(number(String(repeating: "n", count: 300)) == ENAMETOOLONG)
    }

    @Test("moving never replaces and never follows")
    func move() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("in/_done")
        try sandbox.folder("out")
        try sandbox.write("in/x", "x")
        try sandbox.write("in/y", "y")
        symlink("../out", sandbox.at("in/link"))
        let root = try sandbox.root("in")
        #expect(throws: IntakeError.self) { try root.move(RelativePath("x"), to: RelativePath("y")) }
        #expect(throws: IntakeError.self) { try root.move(RelativePath("x"), to: RelativePath("link/x")) }
        #expect(throws: IntakeError.self) { try root.move(RelativePath("x"), to: RelativePath("../x")) }
        #expect(throws: IntakeError.self) { try root.move(RelativePath("x"), to: RelativePath("..")) }
        try root.move(RelativePath("x"), to: RelativePath("_done/x"))
        #expect(try root.observe(RelativePath("x")) == nil)
        #expect(try root.observe(RelativePath("_done/x"))?.identity.size == 1)
        try root.move(RelativePath("_done/x"), to: RelativePath("x"), in: try sandbox.root("out"))
        #expect(access(sandbox.at("out/x"), F_OK) == 0)
    }

    @Test("folders and files are made with their modes, once")
    func create() throws {
        let sandbox = try Sandbox()
        let root = try sandbox.root()
        try root.createDirectory(RelativePath("a/_failed"))
        try root.createDirectory(RelativePath("a/_failed"))
        try root.create(RelativePath("a/_failed/x.ERROR.txt"), bytes: Array("what\nhow\n".utf8))
        var status = stat()
        #expect(stat(sandbox.at("a/_failed/x.ERROR.txt"), &status) == 0)
        #expect(status.st_mode & 0o777 == 0o664)
        #expect(stat(sandbox.at("a/_failed"), &status) == 0)
        #expect(status.st_mode & 0o777 == 0o775)
        let error = #expect(throws: IntakeError.self) {
            try root.create(RelativePath("a/_failed/x.ERROR.txt"), bytes: [])
        }
        #expect(error?.code == .exists)
        try root.remove(RelativePath("a/_failed/x.ERROR.txt"))
        try root.remove(RelativePath("a/_failed/x.ERROR.txt"))
        symlink("/tmp", sandbox.at("link"))
        #expect(throws: IntakeError.self) { try root.createDirectory(RelativePath("link/made")) }
    }

    @Test("the file system has a name")
    func fileSystem() throws {
        #expect(try !Sandbox().root().fileSystem.name.isEmpty)
        #expect(FileSystemKind.local(name: "ext4").deliversEvents)
        #expect(!FileSystemKind.network(name: "nfs").deliversEvents)
    }

    private func makeSocket(_ path: String) throws {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(result == 0)
    }
}
