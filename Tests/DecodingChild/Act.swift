import Glibc
import Media

/// A decoder that was taken over, or that a file sends astray. What acts in the sandbox can only compute and write.
enum Act: String {
    case loop, hang, memory, crash, silent, babble
    case hugePicture = "huge-picture"
    case cutPicture = "cut-picture"
    case longText = "long-text"
    case evilText = "evil-text"
    case endless = "endless-pixels"
    case longSound = "long-sound"
    case cutSound = "cut-sound"
    case manyChannels = "many-channels"
    case loudSound = "loud-sound"
    case noNumbers = "no-numbers"
    case endlessSound = "endless-sound"
    /// Not in the sandbox.
    case killed, status

    func play(_ order: DecodingOrder) {
        if self == .killed { kill(getpid(), SIGTERM) }
        if self == .status { _exit(3) }
        _ = DecodingChild.enterSandbox(order)
        switch self {
        case .loop:
            var value: UInt64 = 1
            while value != 0 { value = value &* 6_364_136_223_846_793_005 | 1 }
        case .hang:
            var lock = pthread_mutex_t()
            pthread_mutex_init(&lock, nil)
            pthread_mutex_lock(&lock)
            pthread_mutex_lock(&lock)
        case .memory:
            var blocks: [[UInt8]] = []
            while true { blocks.append([UInt8](repeating: UInt8(truncatingIfNeeded: blocks.count), count: 16 << 20)) }
        case .crash: UnsafeMutablePointer<UInt8>(bitPattern: 8)!.pointee = 1
        case .silent: break
        case .babble: while say([UInt8](repeating: 0x41, count: 4_096)) {}
        case .hugePicture: _ = say(header(width: 0x7FFF_FFFF, height: 0x7FFF_FFFF))
        case .cutPicture: _ = say(header(width: 100, height: 100) + [1, 2, 3])
        case .longText: _ = say(header(code: 4, texts: 0xFFFF_FFFF))
        case .evilText:
            let words = Array("a\nb\u{1B}[31m\u{202E}c\u{2028}".utf8) + [0xFF]
            _ = say(header(code: 4, texts: words.count) + words)
        case .endless:
            _ = say(header(width: 2, height: 1) + [1, 2, 3, 4, 5, 6])
            while say([UInt8](repeating: 0x41, count: 4_096)) {}
        case .longSound: while say(header(width: 2, height: 0x7FFF_FFFF)) {}
        case .cutSound: _ = say(header(width: 2, height: 9) + samples([0.5, 0.5]))
        case .manyChannels: _ = say(header(width: 3, height: 2) + samples([0.5, 0.5, 0.5, 0.5, 0.5, 0.5]))
        case .loudSound: _ = say(header(width: 2, height: 1) + samples([1, 1.001]))
        case .noNumbers: _ = say(header(width: 2, height: 1) + samples([.nan, 0]))
        case .endlessSound:
            _ = say(header(width: 2, height: 1) + samples([0.5, -1]))
            while say([UInt8](repeating: 0x41, count: 4_096)) {}
        case .killed, .status: break
        }
        _exit(0)
    }

    private func header(code: Int = 0, width: Int = 0, height: Int = 0, texts: Int = 0) -> [UInt8] {
        Array("DRPR".utf8)
            + [2, 63, code, 0, width, height, texts].flatMap { field in
                (0..<4).map { UInt8(truncatingIfNeeded: field >> (8 * $0)) }
            }
    }

    private func samples(_ values: [Float]) -> [UInt8] { values.withUnsafeBytes(Array.init) }

    private func say(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) } == bytes.count
    }
}
