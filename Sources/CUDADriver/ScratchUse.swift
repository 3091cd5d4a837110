import Foundation

/// What becomes of memory of the length of an operation while work is noted, or measured for that.
final class ScratchUse: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: everything mutable is guarded by `lock`; memory is let go of outside it.
    private let lock = NSLock()
    private var mode = Mode.none
    private var places = ScratchPlaces()
    /// Where what is allocated while measuring would lie.
    private var measured: [DeviceAddress: Int] = [:]
    /// What was allocated before, and is given back once the noting has ended.
    private var later: [(address: DeviceAddress, byteCount: Int)] = []
    /// Pieces of memory of work that could not be noted, which somebody holds all the same.
    private var kept: [DeviceAddress: CUDAScratchMemory] = [:]

    private enum Mode {
        case none, measuring
        case noting(CUDAScratchMemory)
    }

    var isNoting: Bool {
        lock.withLock { if case .noting = mode { true } else { false } }
    }

    func beginMeasuring() { begin(.measuring) }
    func beginNoting(in memory: CUDAScratchMemory) { begin(.noting(memory)) }

    private func begin(_ mode: Mode) {
        lock.withLock {
            self.mode = mode
            (places, measured, later) = (ScratchPlaces(), [:], [])
        }
    }

    /// - Returns: bytes that were needed at most, whether all was given back, and what is to be given back now.
    func end() -> (most: Int, isEmpty: Bool, later: [(address: DeviceAddress, byteCount: Int)]) {
        lock.withLock {
            if case .noting(let memory) = mode {
                for start in places.starts { kept[memory.address + DeviceAddress(start)] = memory }
            }
            mode = .none
            return (places.most, places.isEmpty, later)
        }
    }

    /// A place in the memory of the work that is being noted; nil while none is.
    /// - Throws: `CUDAError` "outOfMemory" if that is too small.
    func place(_ byteCount: Int) throws -> DeviceAddress? {
        try lock.withLock {
            guard case .noting(let memory) = mode else { return nil }
            let start = places.place(byteCount)
            guard start + byteCount <= memory.byteCount else {
                places.remove(at: start)
                throw CUDAError(
                    .outOfMemory, "allocating \(byteCount) bytes", hint: "noted work takes more than before")
            }
            return memory.address + DeviceAddress(start)
        }
    }

    /// Takes note of memory that the driver gave.
    func allocated(_ address: DeviceAddress, _ byteCount: Int) {
        lock.withLock {
            guard case .measuring = mode else { return }
            measured[address] = places.place(byteCount)
        }
    }

    /// - Returns: whether the driver need not hear of it: nothing can be given back while work is noted, and nothing of
    ///   that work's own memory.
    func takesBack(_ address: DeviceAddress, _ byteCount: Int) -> Bool {
        let (isTaken, last) = lock.withLock { () -> (Bool, CUDAScratchMemory?) in
            if let memory = kept.removeValue(forKey: address) { return (true, memory) }
            switch mode {
            case .none: return (false, nil)
            case .measuring:
                if let start = measured.removeValue(forKey: address) { places.remove(at: start) }
                return (false, nil)
            case .noting(let memory):
                if address >= memory.address, address < memory.address + DeviceAddress(memory.byteCount) {
                    places.remove(at: Int(address - memory.address))
                } else {
                    later.append((address, byteCount))
                }
                return (true, nil)
            }
        }
        return withExtendedLifetime(last) { isTaken }
    }
}

/// Memory that noted work allocates from; given back when nobody knows of it any more.
final class CUDAScratchMemory: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: nothing changes after initialisation.
    private let stream: CUDAStream
    let address: DeviceAddress
    let byteCount: Int

    init(_ stream: CUDAStream, _ byteCount: Int) throws {
        (self.stream, self.byteCount) = (stream, byteCount)
        address = try stream.allocate(byteCount)
    }

    deinit { stream.free(address, byteCount) }
}

/// Pieces of one range of memory: each lies in the first gap that holds it.
struct ScratchPlaces {
    private var pieces: [Range<Int>] = []
    /// End of the furthest piece there ever was.
    private(set) var most = 0
    private static let alignment = 256

    var isEmpty: Bool { pieces.isEmpty }
    var starts: [Int] { pieces.map(\.lowerBound) }

    /// - Returns: where the piece begins.
    mutating func place(_ byteCount: Int) -> Int {
        let size = (max(byteCount, 1) + Self.alignment - 1) / Self.alignment * Self.alignment
        var (start, index) = (0, 0)
        while index < pieces.count, pieces[index].lowerBound < start + size {
            start = pieces[index].upperBound
            index += 1
        }
        pieces.insert(start..<start + size, at: index)
        most = max(most, start + size)
        return start
    }

    mutating func remove(at start: Int) { pieces.removeAll { $0.lowerBound == start } }
}
