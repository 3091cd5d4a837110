/// What the process that decodes pictures is told, as one argument of its command line.
public struct ImageDecodingOrder: Equatable, Sendable {
    /// What comes back.
    public enum Answer: Int, Sendable {
        /// Width and height, after the whole picture was decoded.
        case size
        /// The picture.
        case pixels
    }

    public var answer: Answer
    public var options: ImageDecoder.Options
    public var limits: ImageLimits
    /// Seconds of processor time.
    public var processorSeconds: Int

    /// Bytes of address space that decoding may take.
    var memory: Int { limits.decodingByteCount }

    public init(_ answer: Answer, options: ImageDecoder.Options, limits: ImageLimits, processorSeconds: Int) {
        self.answer = answer
        self.options = options
        self.limits = limits
        self.processorSeconds = processorSeconds
    }

    /// Numbers, comma-separated.
    public var text: String { numbers.map(String.init).joined(separator: ",") }

    /// - Returns: nil unless `text` is what `text` gives.
    public init?(_ text: String) {
        let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? -1 }
        guard numbers.count == 11, numbers.allSatisfy({ $0 >= 0 }), let answer = Answer(rawValue: numbers[0]) else {
            return nil
        }
        var options = ImageDecoder.Options()
        options.honourOrientation = numbers[1] & 1 != 0
        options.compositeAlpha = numbers[1] & 2 != 0
        options.clipSixteenBitGray = numbers[1] & 4 != 0
        var limits = ImageLimits()
        limits.byteCount = numbers[2]
        limits.side = numbers[3]
        limits.pixelCount = numbers[4]
        limits.scanCount = numbers[5]
        limits.scannedPixelCount = numbers[6]
        limits.decoderByteCount = numbers[7]
        limits.decodingByteCount = numbers[8]
        guard numbers[9] == Self.version else { return nil }
        self.init(answer, options: options, limits: limits, processorSeconds: numbers[10])
        guard numbers == self.numbers else { return nil }
    }

    /// Of the argument and of the reply.
    static let version = 1

    private var numbers: [Int] {
        let flags =
            (options.honourOrientation ? 1 : 0) | (options.compositeAlpha ? 2 : 0)
            | (options.clipSixteenBitGray ? 4 : 0)
        return [
            answer.rawValue, flags, limits.byteCount, limits.side, limits.pixelCount, limits.scanCount,
            limits.scannedPixelCount, limits.decoderByteCount, limits.decodingByteCount, Self.version, processorSeconds,
        ]
    }
}
