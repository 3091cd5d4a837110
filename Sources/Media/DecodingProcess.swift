import CSystem
import Glibc

/// One run of a process that decodes, ended and reaped with its last reference at the latest.
final class DecodingProcess {
    /// How it ended.
    enum End: Equatable {
        case exit(Int32)
        case signal(Int32, microseconds: Int64)
    }

    enum Reading: Equatable {
        case complete
        /// It closed its output before.
        case ended
        case timedOut
    }

    private let process: pid_t
    private let output: Int32
    private let deadline: ContinuousClock.Instant
    private var isReaped = false

    /// - Parameters:
    ///   - input: becomes standard input; -1 for nothing.
    ///   - deadline: when waiting for its output ends.
    /// - Throws: `MediaError` with code `.unavailable` when no process can be started.
    init(_ executable: String, _ arguments: [String], input: Int32, deadline: ContinuousClock.Instant) throws {
        var ends: [Int32] = [-1, -1]
        guard dropreel_pipe(&ends) == 0 else { throw Self.unavailable(errno) }
        defer { close(ends[1]) }
        var words = ([executable] + arguments).map { strdup($0) } + [nil]
        var environment = Self.environment.map { strdup($0) } + [nil]
        defer { for word in words + environment { free(word) } }
        let started = dropreel_spawn(executable, &words, &environment, input, ends[1], -1)
        guard started > 0 else {
            let number = errno
            close(ends[0])
            throw Self.unavailable(number)
        }
        process = started
        output = ends[0]
        self.deadline = deadline
    }

    deinit {
        close(output)
        guard !isReaped else { return }
        kill(process, SIGKILL)
        var time: Int64 = 0
        _ = dropreel_wait_measured(process, &time)
    }

    /// Fills `buffer` from the standard output of the process.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> Reading {
        var filled = 0
        while filled < buffer.count {
            let left = (deadline - .now).components
            let milliseconds = left.seconds * 1_000 + left.attoseconds / 1_000_000_000_000_000
            guard milliseconds > 0 else { return .timedOut }
            var wait = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
            guard poll(&wait, 1, Int32(clamping: milliseconds)) > 0 else { continue }
            let count = Glibc.read(output, buffer.baseAddress! + filled, buffer.count - filled)
            if count == 0 || (count < 0 && errno != EINTR) { return .ended }
            filled += max(count, 0)
        }
        return .complete
    }

    /// Ends the process, if it has not begun to end by itself.
    ///
    /// A process that dies closes its output after its cause of death is fixed, so that the signal sent here never
    /// hides another.
    func finish() -> End {
        kill(process, SIGKILL)
        var time: Int64 = 0
        let status = dropreel_wait_measured(process, &time)
        isReaped = true
        return status < 0 ? .signal(-status, microseconds: time) : .exit(status)
    }

    /// What the loader needs to find the same libraries; no threads, nothing written when it crashes.
    private static var environment: [String] {
        let path = getenv("LD_LIBRARY_PATH").map { ["LD_LIBRARY_PATH=" + String(cString: $0)] } ?? []
        return path + ["OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1", "SWIFT_BACKTRACE=enable=no"]
    }

    private static func unavailable(_ number: Int32) -> MediaError {
        MediaError(
            .unavailable, "the process that decodes cannot be started: \(systemText(number))",
            hint: "run dropreel doctor; raise the limits on memory and processes", errno: number)
    }
}
