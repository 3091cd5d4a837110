/// What a process that decodes is told, as one argument of its command line.
public struct DecodingOrder: Equatable, Sendable {
    /// What is decoded, and what comes back.
    public enum Task: Equatable, Sendable {
        /// Width and height, after the whole picture was decoded.
        case pictureSize(ImageDecoder.Options, ImageLimits)
        /// The picture: `[height, width, 3]` bytes, RGB.
        case picture(ImageDecoder.Options, ImageLimits)
        /// The beginning of a sound: at most `[frameCount, 2]` samples as `Sound` has them, 32-bit floats.
        case sound(frameCount: Int, SoundLimits)
    }

    public var task: Task
    /// Seconds of processor time.
    public var processorSeconds: Int

    public init(_ task: Task, processorSeconds: Int) {
        self.task = task
        self.processorSeconds = processorSeconds
    }

    /// Of the argument and of the reply.
    static let version = 2

    // MARK: As text

    /// Numbers, comma-separated.
    public var text: String {
        ([Self.version, processorSeconds] + task.numbers).map(String.init).joined(separator: ",")
    }

    /// - Returns: nil unless `text` is what `text` gives.
    public init?(_ text: String) {
        let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? -1 }
        guard numbers.count > 2, numbers.allSatisfy({ $0 >= 0 }), numbers[0] == Self.version,
            let task = Task(numbers: Array(numbers[2...]))
        else { return nil }
        self.init(task, processorSeconds: numbers[1])
        guard self.text == text else { return nil }
    }
}

/// Rows and columns of what is decoded: a picture's height and width, a sound's samples and channels.
struct DecodingExtent: Equatable {
    var rows: Int
    var columns: Int
}

extension DecodingOrder.Task {
    /// Bytes of address space that the task may take.
    var memory: Int {
        switch self {
        case .pictureSize(_, let limits), .picture(_, let limits): limits.decodingByteCount
        case .sound(let frameCount, let limits): limits.decodingByteCount + Sound.byteCount(frameCount: frameCount)
        }
    }

    /// Whether something of this extent could have been accepted.
    func accepts(_ extent: DecodingExtent) -> Bool {
        switch self {
        case .pictureSize(_, let limits), .picture(_, let limits):
            (try? limits.check(width: extent.columns, height: extent.rows)) != nil
        case .sound(let frameCount, _): extent.rows <= frameCount && extent.columns == Sound.channelCount
        }
    }

    /// Bytes that come back for something that `accepts` lets pass.
    func byteCount(_ extent: DecodingExtent) -> Int {
        switch self {
        case .pictureSize: 0
        case .picture: 3 * extent.rows * extent.columns
        case .sound: Sound.byteCount(frameCount: extent.rows)
        }
    }

    // MARK: As text

    fileprivate var numbers: [Int] {
        switch self {
        case .pictureSize(let options, let limits): [0, options.number] + limits.numbers
        case .picture(let options, let limits): [1, options.number] + limits.numbers
        case .sound(let frameCount, let limits): [2, frameCount, limits.frameCount, limits.decodingByteCount]
        }
    }

    fileprivate init?(numbers: [Int]) {
        switch numbers.first {
        case 0, 1:
            guard numbers.count == 9 else { return nil }
            let (options, limits) = (
                ImageDecoder.Options(number: numbers[1]), ImageLimits(numbers: numbers.dropFirst(2))
            )
            self = numbers[0] == 0 ? .pictureSize(options, limits) : .picture(options, limits)
        case 2:
            guard numbers.count == 4 else { return nil }
            var limits = SoundLimits()
            (limits.frameCount, limits.decodingByteCount) = (numbers[2], numbers[3])
            guard (try? limits.check(frameCount: numbers[1])) != nil else { return nil }
            self = .sound(frameCount: numbers[1], limits)
        default: return nil
        }
    }
}

extension ImageDecoder.Options {
    fileprivate var number: Int {
        (honourOrientation ? 1 : 0) | (compositeAlpha ? 2 : 0) | (clipSixteenBitGray ? 4 : 0)
    }

    fileprivate init(number: Int) {
        self.init()
        honourOrientation = number & 1 != 0
        compositeAlpha = number & 2 != 0
        clipSixteenBitGray = number & 4 != 0
    }
}

extension ImageLimits {
    fileprivate var numbers: [Int] {
        [byteCount, side, pixelCount, scanCount, scannedPixelCount, decoderByteCount, decodingByteCount]
    }

    /// - Parameter numbers: seven, as `numbers` gives them.
    fileprivate init(numbers: ArraySlice<Int>) {
        self.init()
        let numbers = Array(numbers)
        byteCount = numbers[0]
        side = numbers[1]
        pixelCount = numbers[2]
        scanCount = numbers[3]
        scannedPixelCount = numbers[4]
        decoderByteCount = numbers[5]
        decodingByteCount = numbers[6]
    }
}
