import Digests
import Foundation
import Media

/// Takes a video's frames in order, as they are decoded.
///
/// A generator calls it on a thread of its own, one call at a time; an error ends the job.
public protocol FrameSink: AnyObject {
    /// - Parameters:
    ///   - frames: `[count, height, width, 3]` RGB.
    func append(_ frames: [UInt8], count: Int) throws
    /// After the last frame.
    func finish() throws
}

/// A sink that writes an MP4.
public final class FilmSink: FrameSink {
    private let writer: VideoWriter
    /// Of the finished film.
    public private(set) var summary: VideoSummary?

    /// - Throws: `MediaError`.
    public init(path: String, settings: VideoSettings, marks: VideoMarks, sound: Sound? = nil) throws {
        writer = try VideoWriter(path: path, settings: settings, marks: marks, sound: sound)
    }

    public func append(_ frames: [UInt8], count: Int) throws {
        let size = writer.settings.frameByteCount
        try frames.withUnsafeBytes { bytes in
            for frame in 0..<count {
                try writer.append(UnsafeRawBufferPointer(rebasing: bytes[frame * size..<(frame + 1) * size]))
            }
        }
    }

    public func finish() throws { summary = try writer.finish() }
}

/// Runs another sink on its own thread, so that encoding goes on while later frames are decoded, and counts and
/// digests the frames there.
final class ThreadedFrameSink: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: everything mutable is touched under `condition`, but for `inner` and
    // `digest`, which belong to the thread from start to end; the caller reads `digest` after it has ended.
    private let condition = NSCondition()
    private let inner: any FrameSink
    private var queue: [(frames: [UInt8], count: Int)] = []
    private var isClosed = false
    private var isDone = false
    private var failure: (any Error)?
    private var digest = Digest()

    /// Chunks that may wait; more hold up the decoder.
    private static let limit = 4

    init(_ inner: any FrameSink) {
        self.inner = inner
        let thread = Thread { [self] in work() }
        thread.name = "frames"
        thread.stackSize = 8 << 20
        thread.start()
    }

    /// Hands frames over; waits while too many are under way.
    /// - Throws: what the sink threw for earlier frames.
    func append(_ frames: [UInt8], count: Int) throws {
        condition.lock()
        defer { condition.unlock() }
        while queue.count >= Self.limit, failure == nil { condition.wait() }
        if let failure { throw failure }
        queue.append((frames, count))
        condition.broadcast()
    }

    /// Waits until every frame is written and the sink has finished.
    /// - Returns: SHA-256 of all frames.
    func finish() throws -> String {
        close(abandoning: false)
        if let failure { throw failure }
        return digest.hexadecimal
    }

    /// Ends the thread without finishing the sink. Harmless after `finish`.
    func abandon() { close(abandoning: true) }

    private func close(abandoning: Bool) {
        condition.lock()
        defer { condition.unlock() }
        if abandoning, failure == nil, !isClosed { failure = GenerationError.cancelled }
        isClosed = true
        condition.broadcast()
        while !isDone { condition.wait() }
    }

    private func work() {
        while let next = take() {
            do {
                next.frames.withUnsafeBytes { digest.add($0) }
                try inner.append(next.frames, count: next.count)
            } catch {
                fail(error)
            }
        }
        condition.lock()
        let failed = failure != nil
        condition.unlock()
        if !failed {
            do { try inner.finish() } catch { fail(error) }
        }
        condition.lock()
        isDone = true
        condition.broadcast()
        condition.unlock()
    }

    /// The next chunk; nil when there will be none.
    private func take() -> (frames: [UInt8], count: Int)? {
        condition.lock()
        defer { condition.unlock() }
        while queue.isEmpty, !isClosed, failure == nil { condition.wait() }
        guard failure == nil, !queue.isEmpty else { return nil }
        let next = queue.removeFirst()
        condition.broadcast()
        return next
    }

    private func fail(_ error: any Error) {
        condition.lock()
        if failure == nil { failure = error }
        queue = []
        condition.broadcast()
        condition.unlock()
    }
}
