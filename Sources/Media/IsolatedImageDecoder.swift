import Glibc

/// Decodes pictures that strangers sent: each in a process of its own that can do nothing but compute, within limits on
/// memory and time. Whatever the picture does to that process, here it is an error.
///
/// Blocks the calling thread for as long as the picture takes; safe to use from several threads.
public struct IsolatedImageDecoder: Sendable {
    /// Path of a program that hands its last argument to `ImageDecodingOrder` and that to `ImageDecodingChild`.
    public var executable: String
    /// Come before the order.
    public var arguments: [String]
    public var options = ImageDecoder.Options()
    public var limits = ImageLimits()
    /// Processor time of one picture, in seconds.
    public var processorSeconds = 10
    /// Time of one picture on the clock, in seconds; on a busy host longer than its processor time.
    public var seconds = 30

    /// - Parameter executable: this program itself, if nothing else is named.
    public init(executable: String = "/proc/self/exe", arguments: [String] = ["decode-picture"]) {
        self.executable = executable
        self.arguments = arguments
    }

    /// - Parameter descriptor: an open regular file; its position is neither used nor moved.
    /// - Throws: `MediaError`: what `ImageDecoder` throws; `.tooLarge` beyond a limit, `.corrupt` when the picture
    ///   brought the process down, `.unavailable` when the process could not be started or was ended from outside.
    public func decode(descriptor: Int32) throws -> RGBImage {
        var pixels: [UInt8] = []
        let size = try run(.pixels, descriptor, pixels: &pixels)
        return RGBImage(width: size.width, height: size.height, pixels: pixels)
    }

    /// Decodes the whole picture and keeps nothing of it.
    /// - Returns: pixels a row and rows, orientation applied.
    /// - Throws: as `decode`.
    public func size(descriptor: Int32) throws -> (width: Int, height: Int) {
        var pixels: [UInt8] = []
        return try run(.size, descriptor, pixels: &pixels)
    }

    /// - Parameter path: a regular file, no link.
    /// - Throws: as for a descriptor, and `.io`.
    public func decode(path: String) throws -> RGBImage {
        let file = try OpenFile(path, flags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW)
        return try decode(descriptor: file.descriptor)
    }

    /// - Parameter path: a regular file, no link.
    /// - Throws: as for a descriptor, and `.io`.
    public func size(path: String) throws -> (width: Int, height: Int) {
        let file = try OpenFile(path, flags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW)
        return try size(descriptor: file.descriptor)
    }

    /// What this host lets the process be denied; found by starting one.
    /// - Throws: `MediaError`, `.unavailable`.
    public func measures() throws -> SandboxMeasures {
        var pixels: [UInt8] = []
        return try reply(.size, -1, pixels: &pixels).measures
    }

    // MARK: One picture

    private func run(
        _ answer: ImageDecodingOrder.Answer, _ descriptor: Int32, pixels: inout [UInt8]
    ) throws -> (width: Int, height: Int) {
        switch try reply(answer, descriptor, pixels: &pixels).content {
        case .picture(let width, let height): return (width, height)
        case .failure(let error): throw error
        }
    }

    private func reply(
        _ answer: ImageDecodingOrder.Answer, _ descriptor: Int32, pixels: inout [UInt8]
    ) throws -> ImageDecodingReply {
        let order = ImageDecodingOrder(
            answer, options: options, limits: limits, processorSeconds: processorSeconds)
        let process = try ImageDecodingProcess(
            executable, arguments + [order.text], input: descriptor, deadline: .now + .seconds(seconds))
        var outcome = ImageDecodingProcess.Reading.complete
        func bytes(_ count: Int) -> [UInt8] {
            [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                outcome = process.read(into: UnsafeMutableRawBufferPointer(buffer))
                filled = outcome == .complete ? count : 0
            }
        }
        let header = bytes(ImageDecodingReply.headerCount)
        guard outcome == .complete, let head = ImageDecodingReply.Header(header) else {
            throw error(process.finish(), after: outcome)
        }
        let texts = bytes(head.textCount)
        guard outcome == .complete, let reply = head.reply(texts), reply.isWithin(limits) else {
            throw error(process.finish(), after: outcome)
        }
        if answer == .pixels, case .picture(let width, let height) = reply.content {
            pixels = bytes(3 * width * height)
            guard outcome == .complete else { throw error(process.finish(), after: outcome) }
        }
        return reply
    }

    // MARK: Ends without an answer

    private func error(_ end: ImageDecodingProcess.End, after outcome: ImageDecodingProcess.Reading) -> MediaError {
        guard outcome != .timedOut else { return tooSlow("\(seconds) s") }
        // It said something that is no reply, or closed its output: it is not ours any more.
        guard outcome == .ended else { return broughtDown("gave no sensible answer") }
        switch end {
        case .exit(let status) where status == EXIT_SUCCESS || status == EXIT_FAILURE:
            return broughtDown("gave no sensible answer")
        case .exit(let status):
            return MediaError(
                .unavailable, "the process that decodes pictures ended with status \(status)",
                hint: "run dropreel doctor")
        case .signal(SIGXCPU, _):
            return tooSlow("\(processorSeconds) s of processor time")
        case .signal(SIGKILL, let microseconds) where microseconds >= Int64(processorSeconds) * 1_000_000:
            return tooSlow("\(processorSeconds) s of processor time")
        case .signal(let signal, _) where Self.fromOutside.contains(signal):
            return MediaError(
                .unavailable, "the process that decodes pictures was ended from outside (signal \(signal))",
                hint: "it is tried again; look whether the host ran out of memory")
        case .signal(let signal, _):
            return broughtDown("ended on signal \(signal)")
        }
    }

    private static let fromOutside: Set<Int32> = [SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT]

    private func tooSlow(_ time: String) -> MediaError {
        MediaError(
            .tooLarge, "the picture takes more than \(time) to decode",
            hint: "scale the picture down, or save it as an ordinary (not progressive) JPEG")
    }

    private func broughtDown(_ what: String) -> MediaError {
        MediaError(
            .corrupt, "the picture cannot be decoded: its decoder \(what)",
            hint: "open it in a picture program and save it again")
    }
}
