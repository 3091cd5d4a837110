import Foundation
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Intake

/// What a watcher told, and a way to wait for it.
private final class EventLog: Sendable {
    private struct State {
        var events: [WatchEvent] = []
    }

    private let state = Mutex(State())
    private let news = NSCondition()

    func add(_ event: WatchEvent) {
        news.lock()
        state.withLock { $0.events.append(event) }
        news.broadcast()
        news.unlock()
    }

    var events: [WatchEvent] { state.withLock(\.events) }

    /// Waits until the events satisfy a condition; false after half a minute.
    func wait(until condition: ([WatchEvent]) -> Bool) -> Bool {
        let deadline = Date().addingTimeInterval(30)
        news.lock()
        defer { news.unlock() }
        while !condition(events) {
            if !news.wait(until: deadline) { return condition(events) }
        }
        return true
    }

    func waitFor(_ event: WatchEvent) -> Bool { wait { $0.contains(event) } }

    var isReady: Bool { wait { $0.contains { if case .ready = $0 { true } else { false } } } }
}

@Suite("The watcher process, with real inotify")
struct WatcherTests {
    static let executable = BuiltProgram.url("dropreel-watcher").path

    private func start(_ root: String, _ log: EventLog) throws -> Watcher {
        try #require(access(Self.executable, X_OK) == 0, "dropreel-watcher is not built")
        let watcher = Watcher(executable: Self.executable, root: root, pauses: [0.05]) { log.add($0) }
        watcher.start()
        return watcher
    }

    /// Children of this process that watch `root`.
    private func processes(watching root: String) -> [pid_t] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { pid_t($0) }.filter { process in
            let line = FileManager.default.contents(atPath: "/proc/\(process)/cmdline") ?? Data()
            return line.split(separator: 0).map { String(decoding: $0, as: UTF8.self) } == [Self.executable, root]
        }
    }

    @Test("files and folders, created, renamed and deleted")
    func events() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("in/a")
        try sandbox.folder("in/_done")
        let log = EventLog()
        let watcher = try start(sandbox.at("in"), log)
        #expect(log.waitFor(.ready(folders: 2)))
        try sandbox.write("in/x", "1")
        #expect(log.waitFor(.changed("x")))
        try sandbox.write("in/a/50% \u{E9}\n.png", "1")
        #expect(log.waitFor(.changed("a/50% \u{E9}\n.png")))
        unlink(sandbox.at("in/x"))
        #expect(log.waitFor(.removed("x")))
        rename(sandbox.at("in/a"), sandbox.at("in/b"))
        #expect(log.waitFor(.folderRemoved("a")))
        #expect(log.waitFor(.folderAppeared("b")))
        try sandbox.write("in/b/y", "1")
        #expect(log.waitFor(.changed("b/y")))
        try sandbox.write("in/_done/z", "1")
        try sandbox.write("in/last", "1")
        #expect(log.waitFor(.changed("last")))
        #expect(!log.events.contains(.changed("_done/z")))
        watcher.stop()
        #expect(processes(watching: sandbox.at("in")).isEmpty)
    }

    @Test("a folder deleted and made again, many times, is watched each time")
    func again() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("in")
        let log = EventLog()
        let watcher = try start(sandbox.at("in"), log)
        #expect(log.isReady)
        for round in 0..<20 {
            mkdir(sandbox.at("in/f"), 0o755)
            #expect(log.wait { $0.count { $0 == .folderAppeared("f") } == round + 1 })
            try sandbox.write("in/f/\(round)", "1")
            #expect(log.waitFor(.changed(RelativePath("f/\(round)"))))
            try FileManager.default.removeItem(atPath: sandbox.at("in/f"))
            #expect(log.wait { $0.count { $0 == .folderRemoved("f") } == round + 1 })
        }
        watcher.stop()
    }

    @Test("a tree moved in is announced and watched to its leaves")
    func movedTree() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("in")
        for index in 0..<100 { try sandbox.folder("tree/f\(index)/g") }
        let log = EventLog()
        let watcher = try start(sandbox.at("in"), log)
        #expect(log.isReady)
        rename(sandbox.at("tree"), sandbox.at("in/tree"))
        #expect(log.waitFor(.folderAppeared("tree")))
        for index in [0, 50, 99] {
            try sandbox.write("in/tree/f\(index)/g/x", "1")
            #expect(log.waitFor(.changed(RelativePath("tree/f\(index)/g/x"))))
        }
        watcher.stop()
    }

    @Test("a queue that overflows is told, and watching goes on")
    func overflow() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("in")
        let log = EventLog()
        let gate = DispatchSemaphore(value: 0)
        try #require(access(Self.executable, X_OK) == 0)
        // The handler stands still after the first event; the pipe fills, then the kernel's queue of 16,384.
        let isFirst = Mutex(true)
        let watcher = Watcher(executable: Self.executable, root: sandbox.at("in"), pauses: [0.05]) { event in
            log.add(event)
            if case .changed = event,
                isFirst.withLock({
                    let first = $0
                    $0 = false
                    return first
                })
            {
                gate.wait()
            }
        }
        watcher.start()
        #expect(log.isReady)
        let limit = (try? String(contentsOfFile: "/proc/sys/fs/inotify/max_queued_events", encoding: .utf8)) ?? "16384"
        let count = (Int(limit.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 16_384) + 2_000
        try sandbox.write("in/first", "1")
        #expect(log.waitFor(.changed("first")))
        let prefix = String(repeating: "n", count: 100)
        for index in 0..<count {
            guard mknod(sandbox.at("in/\(prefix)\(index)"), S_IFREG | 0o644, 0) == 0 else {
                Issue.record("file \(index): \(String(cString: strerror(errno)))")
                break
            }
        }
        gate.signal()
        #expect(log.waitFor(.overflow))
        #expect(
            log.wait { events in
                let after = events.drop { $0 != .overflow }
                return after.contains { if case .ready = $0 { true } else { false } }
            })
        // A scan at that moment finds every file, whatever events were lost.
        var found = 0
        try sandbox.root("in").scan { entry in
            if case .file = entry { found += 1 }
            return true
        }
        #expect(found == count + 1)
        try sandbox.write("in/afterwards", "1")
        #expect(log.waitFor(.changed("afterwards")))
        watcher.stop()
    }

    @Test("a watcher that is killed is started again")
    func killed() throws {
        let sandbox = try Sandbox()
        try sandbox.folder("in")
        let log = EventLog()
        let watcher = try start(sandbox.at("in"), log)
        #expect(log.isReady)
        let running = processes(watching: sandbox.at("in"))
        #expect(running.count == 1)
        for process in running { kill(process, SIGKILL) }
        #expect(log.waitFor(.restarting(reason: "dropreel-watcher was ended by signal 9")))
        #expect(log.wait { $0.count { if case .ready = $0 { true } else { false } } == 2 })
        try sandbox.write("in/x", "1")
        #expect(log.waitFor(.changed("x")))
        watcher.stop()
        watcher.stop()
        #expect(processes(watching: sandbox.at("in")).isEmpty)
    }

    @Test("what cannot be watched is said")
    func unavailable() throws {
        let log = EventLog()
        let watcher = try start("/nonexistent/inbox", log)
        #expect(log.waitFor(.unavailable(reason: "the folder cannot be entered: No such file or directory")))
        watcher.stop()
        let other = EventLog()
        let absent = Watcher(executable: "/nonexistent/watcher", root: "/", pauses: [0.05]) { other.add($0) }
        absent.start()
        #expect(other.waitFor(.unavailable(reason: "dropreel-watcher cannot be started: No such file or directory")))
        absent.stop()
    }

    @Test("lines may come in pieces, and nonsense is passed over")
    func protocolLines() {
        var reader = WatcherProtocol()
        #expect(reader.add("R 3\nC a/b%0".utf8) == [.ready(folders: 3)])
        #expect(reader.add("Ac%25\nO\nX y\n\nC \n".utf8) == [.changed("a/b\nc%"), .overflow, .changed("")])
        #expect(reader.add([0x43, 0x20, 0xFF, 0x0A]).isEmpty)
        #expect(
            reader.add("N n\nG g\nD d\nP p: q\nU u\n".utf8) == [
                .folderAppeared("n"), .folderRemoved("g"), .removed("d"), .partial(reason: "p: q"),
                .unavailable(reason: "u"),
            ])
        #expect(reader.add("C %ZZ%4\n".utf8) == [.changed("%ZZ%4")])
    }
}
