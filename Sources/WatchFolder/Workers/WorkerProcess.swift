import CSystem
import Foundation

/// How to start a worker.
public struct WorkerCommand: Sendable, Hashable {
    /// Absolute path of the executable.
    public var executable: String
    /// Without the executable itself. `{name}` stands for the worker's name.
    public var arguments: [String]
    /// Without the runtime's backtraces unless asked for: in a sandbox they only delay the end of a crashed worker.
    public var environment: [String: String]
    /// What it computes on, as people read it: "GPU 1"; nil for nothing that can be lost.
    public var device: String?

    public init(
        executable: String, arguments: [String], environment: [String: String] = ProcessInfo.processInfo.environment,
        device: String? = nil
    ) {
        self.executable = executable
        self.arguments = arguments
        self.device = device
        self.environment = environment.merging(["SWIFT_BACKTRACE": "enable=no"]) { given, _ in given }
    }
}

/// One running child: its process, the pipe that wakes it, and the pipe that tells of its results.
final class WorkerProcess {
    let name: String
    let pid: pid_t
    /// Readable when a job ended, at its end when the process is gone.
    let announcements: Int32
    private let control: Int32
    /// Wait status once reaped.
    private(set) var exitStatus: Int32?

    init(name: String, command: WorkerCommand) throws {
        var toChild: [Int32] = [0, 0]
        var fromChild: [Int32] = [0, 0]
        guard pipe(&toChild) == 0 else { throw ServiceError.system("pipe", "worker", errno: errno) }
        guard pipe(&fromChild) == 0 else {
            let code = errno
            for descriptor in toChild { close(descriptor) }
            throw ServiceError.system("pipe", "worker", errno: code)
        }
        for descriptor in toChild + fromChild { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        for descriptor in [toChild[1], fromChild[0]] { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
        let result = Self.spawn(command, name: name, input: toChild[0], output: fromChild[1])
        close(toChild[0])
        close(fromChild[1])
        guard case .success(let child) = result else {
            close(toChild[1])
            close(fromChild[0])
            if case .failure(let error) = result { throw error }
            throw ServiceError.system("spawn", "worker", errno: EIO)
        }
        self.name = name
        pid = child
        control = toChild[1]
        announcements = fromChild[0]
    }

    deinit {
        if exitStatus == nil {
            kill(pid, SIGKILL)
            var status: Int32 = 0
            while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        }
        close(control)
        close(announcements)
    }

    private static func spawn(
        _ command: WorkerCommand, name: String, input: Int32, output: Int32
    ) -> Result<pid_t, ServiceError> {
        let words = [command.executable] + command.arguments.map { $0.replacingOccurrences(of: "{name}", with: name) }
        let arguments = words.map { strdup($0) } + [nil]
        let environment = command.environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in arguments + environment { free(text) } }
        let child = dropreel_spawn(command.executable, arguments, environment, input, output, 2)
        guard child > 0 else {
            return .failure(
                ServiceError(
                    .configuration, "The worker cannot be started.", hint: "Check that the program is complete.",
                    cause: String(cString: strerror(errno))))
        }
        return .success(child)
    }

    func wake() { send(PipeSignals.wake) }

    func drain() { send(PipeSignals.drain) }

    private func send(_ byte: UInt8) {
        var byte = byte
        _ = write(control, &byte, 1)
    }

    func terminate() { if exitStatus == nil { kill(pid, SIGKILL) } }

    /// - Returns: true once the process is gone. Takes away what it announced.
    func reap(waiting: Bool = false) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 256)
        while read(announcements, &bytes, bytes.count) > 0 {}
        guard exitStatus == nil else { return true }
        var status: Int32 = 0
        while true {
            let result = waitpid(pid, &status, waiting ? 0 : WNOHANG)
            if result == pid { break }
            if result < 0, errno == EINTR { continue }
            return false
        }
        exitStatus = status
        return true
    }

    /// Whether it ended because its GPU was lost.
    var lostItsDevice: Bool { exitStatus == WorkerLoop.deviceLostStatus << 8 }

    /// How it ended, in words: `exit 70`, `signal 9`.
    var ending: String {
        guard let status = exitStatus else { return "running" }
        let signal = status & 0x7f
        return signal == 0 ? "exit \((status >> 8) & 0xff)" : "signal \(signal)"
    }
}
