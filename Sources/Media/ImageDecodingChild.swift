import CSystem
import Glibc

/// The other side of `IsolatedImageDecoder`: a process that reads one picture from its standard input, with every right
/// but computing taken from it, and writes what it finds to its standard output.
public enum ImageDecodingChild {
    /// Decodes and ends the process. Standard input is a regular file (its position does not matter), standard output
    /// a pipe; nothing else may be open.
    public static func run(_ order: ImageDecodingOrder) -> Never {
        // The last call that needs to know more of a file than its bytes.
        let count = Result { try byteCount() }
        let measures = enterSandbox(order)
        var reply = ImageDecodingReply(measures: measures, content: .picture(width: 0, height: 0))
        var pixels: [UInt8] = []
        do {
            let image = try decode(try count.get(), order)
            reply.content = .picture(width: image.width, height: image.height)
            if order.answer == .pixels { pixels = image.pixels }
        } catch let error as MediaError {
            reply.content = .failure(error)
        } catch {
            reply.content = .failure(MediaError(.unavailable, "\(error)", hint: "save the picture again"))
        }
        let isWritten = write(reply.bytes) && write(pixels)
        _exit(isWritten ? EXIT_SUCCESS : EXIT_FAILURE)
    }

    /// Gives up all rights.
    /// - Returns: the measures in force.
    package static func enterSandbox(_ order: ImageDecodingOrder) -> SandboxMeasures {
        _ = dropreel_die_with_parent(SIGKILL)
        var limits = dropreel_sandbox_limits(
            memory: UInt64(order.memory), seconds: UInt64(order.processorSeconds))
        return SandboxMeasures(rawValue: dropreel_sandbox_enter(&limits))
    }

    private static func byteCount() throws -> Int {
        var status = stat()
        guard fstat(STDIN_FILENO, &status) == 0 else { throw MediaError.io("reading the picture", errno: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw MediaError(.unsupported, "it is not a regular file", hint: "copy the picture itself here")
        }
        return Int(status.st_size)
    }

    private static func decode(_ count: Int, _ order: ImageDecodingOrder) throws -> RGBImage {
        try order.limits.check(byteCount: count)
        let bytes = try OpenFile.read(STDIN_FILENO, name: "the picture", at: 0, count: count)
        do {
            return try ImageDecoder.decode(bytes, options: order.options, limits: order.limits)
        } catch let error as MediaError where error.code == .unavailable {
            throw MediaError(
                .tooLarge, "the picture needs more memory than a picture may", hint: "scale the picture down")
        }
    }

    private static func write(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = Glibc.write(STDOUT_FILENO, bytes.baseAddress! + done, bytes.count - done)
                if count < 0, errno != EINTR { return false }
                done += max(count, 0)
            }
            return true
        }
    }
}
