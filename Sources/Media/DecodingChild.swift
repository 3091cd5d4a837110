import CSystem
import Glibc

/// The other side of `IsolatedDecoder`: a process that reads one picture or sound from its standard input, with every
/// right but computing taken from it, and writes what it finds to its standard output.
public enum DecodingChild {
    /// Decodes and ends the process. Standard input is a regular file (its position does not matter), standard output
    /// a pipe; nothing else may be open.
    public static func run(_ order: DecodingOrder) -> Never {
        // The last call that needs to know more of a file than its bytes.
        let count = Result { try byteCount(order.task) }
        let measures = enterSandbox(order)
        var isWritten = false
        func answer(_ content: DecodingReply.Content, _ payload: UnsafeRawBufferPointer) {
            let reply = DecodingReply(measures: measures, content: content)
            isWritten = reply.bytes.withUnsafeBytes(write) && write(payload)
        }
        do {
            try perform(order.task, try count.get()) { answer(.extent($0), $1) }
        } catch {
            answer(.failure(failure(error, order.task)), UnsafeRawBufferPointer(start: nil, count: 0))
        }
        _exit(isWritten ? EXIT_SUCCESS : EXIT_FAILURE)
    }

    /// Gives up all rights.
    /// - Returns: the measures in force.
    package static func enterSandbox(_ order: DecodingOrder) -> SandboxMeasures {
        _ = dropreel_die_with_parent(SIGKILL)
        var limits = dropreel_sandbox_limits(
            memory: UInt64(order.task.memory), seconds: UInt64(order.processorSeconds))
        return SandboxMeasures(rawValue: dropreel_sandbox_enter(&limits))
    }

    private static func byteCount(_ task: DecodingOrder.Task) throws -> Int {
        var status = stat()
        guard fstat(STDIN_FILENO, &status) == 0 else {
            throw MediaError.io("reading the \(task.noun)", errno: errno)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw MediaError(.unsupported, "it is not a regular file", hint: "copy the \(task.noun) itself here")
        }
        return Int(status.st_size)
    }

    /// - Parameters:
    ///   - count: bytes of the file.
    ///   - answer: is called once, with what comes back.
    private static func perform(
        _ task: DecodingOrder.Task, _ count: Int, answer: (DecodingExtent, UnsafeRawBufferPointer) -> Void
    ) throws {
        switch task {
        case .pictureSize(let options, let limits), .picture(let options, let limits):
            try limits.check(byteCount: count)
            let bytes = try OpenFile.read(STDIN_FILENO, name: "the picture", at: 0, count: count)
            let image = try ImageDecoder.decode(bytes, options: options, limits: limits)
            let extent = DecodingExtent(rows: image.height, columns: image.width)
            image.pixels.withUnsafeBytes { answer(extent, .init(rebasing: $0.prefix(task.byteCount(extent)))) }
        case .sound(let frameCount, let limits):
            let source = SoundSource(descriptor: STDIN_FILENO, byteCount: count)
            let samples = try SoundDecoder.decode(source, frameCount: frameCount, limits: limits)
            let extent = DecodingExtent(rows: samples.count / Sound.channelCount, columns: Sound.channelCount)
            samples.withUnsafeBytes { answer(extent, $0) }
        }
    }

    private static func failure(_ error: any Error, _ task: DecodingOrder.Task) -> MediaError {
        guard let error = error as? MediaError else {
            return MediaError(.unavailable, "\(error)", hint: "save the \(task.noun) again")
        }
        // Here it can only be the memory that one file may take.
        guard error.code == .unavailable else { return error }
        return MediaError(
            .tooLarge, "the \(task.noun) needs more memory than a \(task.noun) may", hint: task.smaller)
    }

    private static func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var done = 0
        while done < bytes.count {
            let count = Glibc.write(STDOUT_FILENO, bytes.baseAddress! + done, bytes.count - done)
            if count < 0, errno != EINTR { return false }
            done += max(count, 0)
        }
        return true
    }
}

extension DecodingOrder.Task {
    /// What the file is called in errors.
    var noun: String {
        switch self {
        case .pictureSize, .picture: "picture"
        case .sound: "sound"
        }
    }

    /// How people get a file that asks for less.
    var smaller: String {
        switch self {
        case .pictureSize, .picture: "scale the picture down"
        case .sound: "save the sound again as WAV, without pictures in it"
        }
    }
}
