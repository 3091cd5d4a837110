import Glibc

/// Decodes pictures and sounds that strangers sent: each in a process of its own that can do nothing but compute, within
/// limits on memory and time. Whatever the file does to that process, here it is an error.
///
/// Blocks the calling thread for as long as the file takes; safe to use from several threads.
public struct IsolatedDecoder: Sendable {
    /// Path of a program that hands its last argument to `DecodingOrder` and that to `DecodingChild`.
    public var executable: String
    /// Come before the order.
    public var arguments: [String]
    public var imageOptions = ImageDecoder.Options()
    public var imageLimits = ImageLimits()
    public var soundLimits = SoundLimits()
    /// Processor time of one file, in seconds.
    public var processorSeconds = 10
    /// Time of one file on the clock, in seconds; on a busy host longer than its processor time.
    public var seconds = 30

    /// - Parameter executable: this program itself, if nothing else is named.
    public init(executable: String = "/proc/self/exe", arguments: [String] = ["decode"]) {
        self.executable = executable
        self.arguments = arguments
    }

    // MARK: Pictures

    /// - Parameter descriptor: an open regular file; its position is neither used nor moved.
    /// - Throws: `MediaError`: what `ImageDecoder` throws; `.tooLarge` beyond a limit, `.corrupt` when the picture
    ///   brought the process down, `.unavailable` when the process could not be started or was ended from outside.
    public func picture(descriptor: Int32) throws -> RGBImage {
        let (size, pixels) = try decode(.picture(imageOptions, imageLimits), descriptor)
        return RGBImage(width: size.columns, height: size.rows, pixels: pixels)
    }

    /// Decodes the whole picture and keeps nothing of it.
    /// - Returns: pixels a row and rows, orientation applied.
    /// - Throws: as `picture`.
    public func pictureSize(descriptor: Int32) throws -> (width: Int, height: Int) {
        let (size, _) = try decode(.pictureSize(imageOptions, imageLimits), descriptor)
        return (size.columns, size.rows)
    }

    /// - Parameter path: a regular file, no link.
    /// - Throws: as for a descriptor, and `.io`.
    public func picture(path: String) throws -> RGBImage {
        try opening(path) { try picture(descriptor: $0) }
    }

    /// - Parameter path: a regular file, no link.
    /// - Throws: as for a descriptor, and `.io`.
    public func pictureSize(path: String) throws -> (width: Int, height: Int) {
        try opening(path) { try pictureSize(descriptor: $0) }
    }

    // MARK: Sounds

    /// Decodes the beginning of a WAV, M4A or MP3 file, cut or padded with silence to `frameCount` samples a channel.
    /// - Parameter descriptor: an open regular file; its position is neither used nor moved.
    /// - Throws: `MediaError`: what `SoundDecoder` throws; `.tooLarge` beyond a limit, `.corrupt` when the sound
    ///   brought the process down, `.unavailable` when the process could not be started or was ended from outside.
    public func sound(descriptor: Int32, frameCount: Int) throws -> Sound {
        try soundLimits.check(frameCount: frameCount)
        let task = DecodingOrder.Task.sound(frameCount: frameCount, soundLimits)
        let (extent, bytes) = try decode(task, descriptor)
        let samples = [Float](unsafeUninitializedCapacity: extent.rows * extent.columns) { buffer, count in
            UnsafeMutableRawBufferPointer(buffer).copyBytes(from: bytes)
            count = buffer.count
        }
        // The encoder that gets them next is C as well. What is no number is not within the range.
        guard samples.allSatisfy({ abs($0) <= 1 }) else { throw broughtDown(task, Self.nonsense) }
        return Sound(samples: samples).padded(to: frameCount)
    }

    /// - Parameter path: a regular file, no link.
    /// - Throws: as for a descriptor, and `.io`.
    public func sound(path: String, frameCount: Int) throws -> Sound {
        try opening(path) { try sound(descriptor: $0, frameCount: frameCount) }
    }

    // MARK: The process

    /// What this host lets the process be denied; found by starting one.
    /// - Throws: `MediaError`, `.unavailable`.
    public func measures() throws -> SandboxMeasures {
        try reply(.pictureSize(imageOptions, imageLimits), -1).reply.measures
    }

    private func opening<Result>(_ path: String, _ body: (Int32) throws -> Result) throws -> Result {
        let file = try OpenFile(path, flags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW)
        return try body(file.descriptor)
    }

    private func decode(
        _ task: DecodingOrder.Task, _ descriptor: Int32
    ) throws -> (extent: DecodingExtent, payload: [UInt8]) {
        let (reply, payload) = try reply(task, descriptor)
        switch reply.content {
        case .extent(let extent): return (extent, payload)
        case .failure(let error): throw error
        }
    }

    private func reply(
        _ task: DecodingOrder.Task, _ descriptor: Int32
    ) throws -> (reply: DecodingReply, payload: [UInt8]) {
        let order = DecodingOrder(task, processorSeconds: processorSeconds)
        let process = try DecodingProcess(
            executable, arguments + [order.text], input: descriptor, deadline: .now + .seconds(seconds))
        var outcome = DecodingProcess.Reading.complete
        func bytes(_ count: Int) -> [UInt8] {
            [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                outcome = process.read(into: UnsafeMutableRawBufferPointer(buffer))
                filled = outcome == .complete ? count : 0
            }
        }
        let header = bytes(DecodingReply.headerCount)
        guard outcome == .complete, let head = DecodingReply.Header(header) else {
            throw error(task, process.finish(), after: outcome)
        }
        let texts = bytes(head.textCount)
        guard outcome == .complete, let reply = head.reply(texts) else {
            throw error(task, process.finish(), after: outcome)
        }
        guard case .extent(let extent) = reply.content else { return (reply, []) }
        // Its size is known before a byte of it is read, or memory taken for it.
        guard task.accepts(extent) else { throw error(task, process.finish(), after: outcome) }
        let payload = bytes(task.byteCount(extent))
        guard outcome == .complete else { throw error(task, process.finish(), after: outcome) }
        return (reply, payload)
    }

    // MARK: Ends without an answer

    private func error(
        _ task: DecodingOrder.Task, _ end: DecodingProcess.End, after outcome: DecodingProcess.Reading
    ) -> MediaError {
        guard outcome != .timedOut else { return tooSlow(task, "\(seconds) s") }
        // It said something that is no reply, or closed its output: it is not ours any more.
        guard outcome == .ended else { return broughtDown(task, Self.nonsense) }
        switch end {
        case .exit(let status) where status == EXIT_SUCCESS || status == EXIT_FAILURE:
            return broughtDown(task, Self.nonsense)
        case .exit(let status):
            return MediaError(
                .unavailable, "the process that decodes the \(task.noun) ended with status \(status)",
                hint: "run dropreel doctor")
        case .signal(SIGXCPU, _):
            return tooSlow(task, "\(processorSeconds) s of processor time")
        case .signal(SIGKILL, let microseconds) where microseconds >= Int64(processorSeconds) * 1_000_000:
            return tooSlow(task, "\(processorSeconds) s of processor time")
        case .signal(let signal, _) where Self.fromOutside.contains(signal):
            return MediaError(
                .unavailable, "the process that decodes the \(task.noun) was ended from outside (signal \(signal))",
                hint: "it is tried again; look whether the host ran out of memory")
        case .signal(let signal, _):
            return broughtDown(task, "ended on signal \(signal)")
        }
    }

    private static let fromOutside: Set<Int32> = [SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT]
    private static let nonsense = "gave no sensible answer"

    private func tooSlow(_ task: DecodingOrder.Task, _ time: String) -> MediaError {
        let hint =
            switch task {
            case .pictureSize, .picture:
                "scale the picture down, or save it as an ordinary (not progressive) JPEG"
            case .sound: "save the sound again as WAV, M4A or MP3"
            }
        return MediaError(.tooLarge, "the \(task.noun) takes more than \(time) to decode", hint: hint)
    }

    private func broughtDown(_ task: DecodingOrder.Task, _ what: String) -> MediaError {
        MediaError(
            .corrupt, "the \(task.noun) cannot be decoded: its decoder \(what)",
            hint: "open it in a \(task.noun) program and save it again")
    }
}
