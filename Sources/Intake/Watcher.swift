import CSystem
import Foundation
import Synchronization

/// Runs `dropreel-watcher` on a tree and hands on what it tells, for as long as it is wanted: a watcher that dies is
/// started again, with growing pauses.
///
/// Events come one after another on a thread of the watcher's own; the handler should only take note.
public final class Watcher: Sendable {
    private struct State {
        var thread: Thread?
        var isStopped = false
    }

    private let executable: String
    private let root: String
    private let handler: @Sendable (WatchEvent) -> Void
    /// Pauses before the first, second, ... further start, in seconds; the last one repeats.
    private let pauses: [Double]
    private let state = Mutex(State())
    private let finished = DispatchSemaphore(value: 0)
    /// Written once to end every wait.
    private let stopPipe: (read: Int32, write: Int32)

    /// - Parameters:
    ///   - executable: path of `dropreel-watcher`.
    ///   - root: the folder to watch.
    ///   - handler: called on the watcher's thread.
    public init(
        executable: String, root: String, pauses: [Double] = [0.5, 1, 2, 5, 10, 30],
        handler: @escaping @Sendable (WatchEvent) -> Void
    ) {
        self.executable = executable
        self.root = root
        self.handler = handler
        self.pauses = pauses.isEmpty ? [1] : pauses
        stopPipe = Self.makePipe() ?? (-1, -1)
    }

    deinit {
        close(stopPipe.read)
        close(stopPipe.write)
    }

    /// Starts watching; a second call does nothing.
    public func start() {
        let thread: Thread? = state.withLock { state in
            guard state.thread == nil, !state.isStopped else { return nil }
            let thread = Thread { [self] in
                run()
                finished.signal()
            }
            thread.name = "watcher"
            state.thread = thread
            return thread
        }
        thread?.start()
    }

    /// Ends the process and waits until no further event can come. Must not be called from the handler.
    public func stop() {
        let wasRunning = state.withLock { state in
            let running = state.thread != nil && !state.isStopped
            state.isStopped = true
            return running
        }
        guard wasRunning else { return }
        var byte: UInt8 = 0
        _ = write(stopPipe.write, &byte, 1)
        finished.wait()
    }

    private var isStopped: Bool { state.withLock(\.isStopped) }

    private func run() {
        if let kind = try? SafeRoot(path: root).fileSystem, !kind.deliversEvents {
            handler(.unavailable(reason: "the folder lies on \(kind.name); changes made elsewhere raise no events"))
        }
        var failures = 0
        while !isStopped {
            let started = ContinuousClock.now
            let reason = runOnce()
            if isStopped { return }
            if ContinuousClock.now - started > .seconds(60) { failures = 0 }
            handler(.restarting(reason: reason))
            let pause = pauses[min(failures, pauses.count - 1)]
            failures += 1
            _ = Self.wait(for: [stopPipe.read], milliseconds: Int32(pause * 1000))
        }
    }

    /// One life of the process.
    /// - Returns: why it ended.
    private func runOnce() -> String {
        guard let input = Self.makePipe(), let output = Self.makePipe() else {
            return "no pipe could be made: " + String(cString: strerror(errno))
        }
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup(executable), strdup(root), nil]
        var environment: [UnsafeMutablePointer<CChar>?] = [nil]
        let process = dropreel_spawn(executable, &arguments, &environment, input.read, output.write, -1)
        let number = errno
        for argument in arguments { free(argument) }
        close(input.read)
        close(output.write)
        defer { close(output.read) }
        guard process > 0 else {
            close(input.write)
            let reason = "dropreel-watcher cannot be started: " + String(cString: strerror(number))
            handler(.unavailable(reason: reason))
            return reason
        }
        readEvents(output.read)
        // Both ways out: it reads the end of its input, and it is asked to stop.
        close(input.write)
        kill(process, SIGTERM)
        let status = dropreel_wait(process)
        return status < 0 ? "dropreel-watcher was ended by signal \(-status)" : "dropreel-watcher ended with \(status)"
    }

    /// Hands on events until the pipe ends or the watcher is stopped.
    private func readEvents(_ descriptor: Int32) {
        var reader = WatcherProtocol()
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let ready = Self.wait(for: [descriptor, stopPipe.read], milliseconds: -1)
            if isStopped { return }
            guard ready.contains(descriptor) else { continue }
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            for event in reader.add(buffer[..<count]) { handler(event) }
        }
    }

    /// Waits until one of the descriptors can be read or the time is over.
    private static func wait(for descriptors: [Int32], milliseconds: Int32) -> [Int32] {
        var polls = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        guard poll(&polls, nfds_t(polls.count), milliseconds) > 0 else { return [] }
        return polls.filter { $0.revents != 0 }.map(\.fd)
    }

    /// Both ends closed in every other program that is started.
    private static func makePipe() -> (read: Int32, write: Int32)? {
        var ends: [Int32] = [-1, -1]
        return dropreel_pipe(&ends) == 0 ? (ends[0], ends[1]) : nil
    }
}
