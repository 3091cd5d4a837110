import Dispatch
import Foundation

/// Host memory that the GPU reads at the bus's full speed, where the system gives such; else common memory.
///
/// Large memory is touched by several threads and then registered: the driver, asked for pinned memory, clears it with one
/// (0.75 s for 2 GiB where this takes 0.15 s).
public final class CUDAHostMemory: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: the pointer never changes; callers order writes and reads.
    public let bytes: UnsafeMutableRawBufferPointer
    public var isPinned: Bool { origin != .common }
    private let origin: Origin
    private let stream: CUDAStream

    private enum Origin { case driver, registered, common }

    /// Bytes from which memory is registered.
    static let registeredBytes = 32 << 20
    private static let hugePage = 2 << 20

    /// - Throws: `CUDAError` "outOfMemory".
    public init(stream: CUDAStream, byteCount: Int) throws {
        self.stream = stream
        try stream.enter()
        let size = max(byteCount, 16)
        var pointer: UnsafeMutableRawPointer?
        if size >= Self.registeredBytes, stream.registersMemory, let found = Self.touched(size) {
            if stream.driver.hostRegister(found, size, 1) == 0 {
                (origin, bytes) = (.registered, UnsafeMutableRawBufferPointer(start: found, count: byteCount))
                return
            }
            free(found)
        }
        if stream.driver.hostAllocate(&pointer, size, 1) == 0, pointer != nil {
            origin = .driver
        } else {
            origin = .common
            if posix_memalign(&pointer, 4096, size) != 0 { pointer = nil }
        }
        guard let pointer else {
            throw CUDAError(.outOfMemory, "\(byteCount) bytes of host memory", hint: "the host has no room for them")
        }
        bytes = UnsafeMutableRawBufferPointer(start: pointer, count: byteCount)
    }

    /// Whether the driver takes memory that was allocated without it.
    static func registers(_ driver: CUDADriver) -> Bool {
        var pointer: UnsafeMutableRawPointer?
        guard posix_memalign(&pointer, hugePage, hugePage) == 0, let pointer else { return false }
        defer { free(pointer) }
        memset(pointer, 0, hugePage)
        return driver.hostRegister(pointer, hugePage, 1) == 0 && driver.hostUnregister(pointer) == 0
    }

    /// Common memory whose pages are there.
    private static func touched(_ size: Int) -> UnsafeMutableRawPointer? {
        var pointer: UnsafeMutableRawPointer?
        let whole = (size + hugePage - 1) / hugePage * hugePage
        guard posix_memalign(&pointer, hugePage, whole) == 0, let pointer else { return nil }
        _ = madvise(pointer, whole, MADV_HUGEPAGE)
        nonisolated(unsafe) let start = pointer
        let pieces = whole / hugePage
        let threads = max(1, min(8, ProcessInfo.processInfo.activeProcessorCount))
        DispatchQueue.concurrentPerform(iterations: threads) { index in
            let range = pieces * index / threads..<pieces * (index + 1) / threads
            memset(start + range.lowerBound * hugePage, 0, range.count * hugePage)
        }
        return pointer
    }

    deinit {
        guard let base = bytes.baseAddress else { return }
        switch origin {
        case .driver:
            guard (try? stream.enter()) != nil else { return }
            _ = stream.driver.hostFree(base)
        case .registered:
            // Copies from and to it must have ended: those of the other queue are waited for by this one.
            guard (try? stream.synchronize()) != nil, stream.driver.hostUnregister(base) == 0 else { return }
            free(base)
        case .common:
            // A copy may still read it.
            _ = try? stream.synchronize()
            free(base)
        }
    }
}
