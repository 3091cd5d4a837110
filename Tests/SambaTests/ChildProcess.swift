import Foundation
import Synchronization

/// A program started by a test, with a pipe to its standard input; ended with all its children.
final class ChildProcess: Sendable {
    struct Failed: Error, CustomStringConvertible {
        var program: String
        var output: String
        var description: String { "\(program) failed: \(output)" }
    }

    let pid: pid_t
    let input: FileHandle
    private let status = Mutex<Int32?>(nil)
    private let isEnded = Mutex(false)

    /// - Parameter output: file for standard output and error.
    init(_ program: String, _ arguments: [String], output: URL) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw Failed(program: program, output: "no pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        input = FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        posix_spawn_file_actions_addopen(&actions, 1, output.path, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A group of its own, to be ended as a whole; and no signal blocked by the thread that happens to start it.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
        var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var child: pid_t = 0
        let error = posix_spawn(&child, program, &actions, &attributes, &words, environ)
        guard error == 0 else { throw Failed(program: program, output: String(cString: strerror(error))) }
        pid = child
    }

    deinit { end(within: 0) }

    var isRunning: Bool { exitStatus(waiting: false) == nil }

    /// As of waitpid; nil while it runs.
    @discardableResult
    func exitStatus(waiting: Bool) -> Int32? {
        status.withLock { status in
            if status != nil { return status }
            var found: Int32 = 0
            if waitpid(pid, &found, waiting ? 0 : WNOHANG) == pid { status = found }
            return status
        }
    }

    /// Asks it to end, closes its input, and kills the whole group when the time is over.
    func end(within seconds: Double) {
        let isFirst = isEnded.withLock { isEnded in
            defer { isEnded = true }
            return !isEnded
        }
        guard isFirst else { return }
        let deadline = Date().addingTimeInterval(seconds)
        if isRunning {
            kill(pid, SIGTERM)
            try? input.close()
            while isRunning, Date() < deadline { usleep(2000) }
        }
        kill(-pid, SIGKILL)
        exitStatus(waiting: true)
    }

    /// Runs a program to its end.
    /// - Returns: what it wrote, once it ended with 0.
    @discardableResult
    static func run(_ program: String, _ arguments: [String], input: String = "") throws -> String {
        let output = FileManager.default.temporaryDirectory.appendingPathComponent("output-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: output) }
        let process = try ChildProcess(program, arguments, output: output)
        try process.input.write(contentsOf: Data(input.utf8))
        try process.input.close()
        let status = process.exitStatus(waiting: true)
        let text = (try? String(contentsOf: output, encoding: .utf8)) ?? ""
        guard status == 0 else { throw Failed(program: program + " " + arguments.joined(separator: " "), output: text) }
        return text
    }
}
