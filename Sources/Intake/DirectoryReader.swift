import CSystem
import Glibc

/// Reads directories through one reusable buffer, names as bytes.
final class DirectoryReader {
    enum Outcome {
        case finished
        case stopped
        case failed(Int32)
    }

    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)

    deinit { buffer.deallocate() }

    /// Calls `body` with each name but `.` and `..` and its DT_ type, until it returns false.
    func forEachName(_ descriptor: Int32, _ body: (UnsafeBufferPointer<UInt8>, UInt8) -> Bool) -> Outcome {
        while true {
            let filled = dropreel_getdents(descriptor, buffer.baseAddress, buffer.count)
            if filled == 0 { return .finished }
            if filled < 0 {
                if errno == EINTR { continue }
                return .failed(errno)
            }
            var offset = 0
            while offset < filled {
                var name: UnsafePointer<CChar>?
                var length = 0
                var type: UInt8 = 0
                offset = dropreel_dirent_at(buffer.baseAddress, offset, &name, &length, &type)
                guard let name, length > 0 else { continue }
                let isDot = name[0] == 46 && (length == 1 || (length == 2 && name[1] == 46))
                if isDot { continue }
                let goesOn = name.withMemoryRebound(to: UInt8.self, capacity: length) {
                    body(UnsafeBufferPointer(start: $0, count: length), type)
                }
                if !goesOn { return .stopped }
            }
        }
    }
}
