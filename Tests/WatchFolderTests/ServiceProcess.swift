import Foundation
import TestSupport
import Testing

@testable import WatchFolder

/// The service over the fake engine as a process of its own, with child workers, on a fresh folder. For one thread.
final class ServiceProcess {
    let root: URL
    private(set) var pid: pid_t?
    /// As of waitpid, of the last process that ended.
    private(set) var exitStatus: Int32 = 0

    /// - Parameter folder: one that exists; removed at the end as a fresh one is.
    init(on folder: URL? = nil) {
        root = folder ?? FileManager.default.temporaryDirectory.appendingPathComponent("service-\(UUID().uuidString)")
        for name in ["inbox", "outbox", "rules", "state"] {
            try? FileManager.default.createDirectory(
                at: root.appendingPathComponent(name), withIntermediateDirectories: true)
        }
    }

    deinit {
        kill()
        try? FileManager.default.removeItem(at: root)
        try? FileManager.default.removeItem(at: messages)
    }

    static let executable = BuiltProgram.releaseURL("dropreel-fake")

    /// What the service writes to its standard error.
    var messages: URL { root.appendingPathExtension("log") }

    struct CannotStart: Error { var number: Int32 }

    func start(workers: Int = 2, environment: [String: String] = [:]) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, messages.path, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        let words = [Self.executable.path, "serve", root.path, "\(workers)"]
        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var everything: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
        defer { for text in arguments + everything { free(text) } }
        var child: pid_t = 0
        let error = posix_spawn(&child, words[0], &actions, nil, &arguments, &everything)
        guard error == 0 else { throw CannotStart(number: error) }
        pid = child
        startedAt = Date().timeIntervalSince1970
    }

    private var startedAt = 0.0

    /// The process has told its state since it was started: from then on it listens to signals.
    var isUp: Bool {
        var status = stat()
        guard stat(root.appendingPathComponent("outbox/STATUS.txt").path, &status) == 0 else { return false }
        return Double(status.st_mtim.tv_sec) + Double(status.st_mtim.tv_nsec) / 1e9 > startedAt + 0.01
    }

    var isRunning: Bool {
        guard let pid else { return false }
        if waitpid(pid, &exitStatus, WNOHANG) != 0 { self.pid = nil }
        return self.pid != nil
    }

    /// As if the power went: nothing is told to it.
    func kill() {
        guard let pid else { return }
        Foundation.kill(pid, SIGKILL)
        while waitpid(pid, &exitStatus, 0) < 0, errno == EINTR {}
        self.pid = nil
    }

    /// - Returns: the exit status; -1 when it did not end, or was killed.
    func terminate() -> Int32 {
        guard let pid else { return -1 }
        Foundation.kill(pid, SIGTERM)
        let end = SystemClock().uptime() + 30
        while isRunning, SystemClock().uptime() < end { usleep(2000) }
        guard !isRunning else {
            kill()
            return -1
        }
        return exitStatus & 0x7f == 0 ? exitStatus >> 8 & 0xff : -1
    }

    // MARK: What people do and see

    func drop(_ name: String, _ text: String) throws {
        // As a careful client does it: the whole file appears at once.
        let hidden = root.appendingPathComponent("inbox/.\(name)")
        try Data(text.utf8).write(to: hidden)
        try FileManager.default.moveItem(at: hidden, to: root.appendingPathComponent("inbox/\(name)"))
    }

    func names(_ folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent(folder).path)) ?? [])
            .sorted()
    }

    func text(_ path: String) -> String {
        (try? String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)) ?? ""
    }

    func waits(within seconds: Double = 60, until condition: () throws -> Bool) rethrows -> Bool {
        let end = SystemClock().uptime() + seconds
        while SystemClock().uptime() < end {
            if try condition() { return true }
            usleep(2000)
        }
        return try condition()
    }

    func until(
        _ what: String, within seconds: Double = 60, sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: () throws -> Bool
    ) throws {
        if try waits(within: seconds, until: condition) { return }
        Issue.record("timed out: \(what)\n\(text("outbox/STATUS.txt"))", sourceLocation: sourceLocation)
    }
}
