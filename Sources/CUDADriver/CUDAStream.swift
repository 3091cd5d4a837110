import Foundation

/// One GPU of this process: its context, and a queue of work in which everything happens in order.
public final class CUDAStream: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: handles never change; the driver is safe for threads; `used`, `most` and `spans`
    // are guarded by `lock`.
    public let driver: CUDADriver
    public let device: CUDADevice
    let context: OpaquePointer
    private let handle: OpaquePointer
    private let pool: OpaquePointer
    /// Most bytes that may be allocated at once; nil for what the GPU has.
    public let memoryLimit: Int?
    /// Whether host memory may be allocated first and pinned then.
    let registersMemory: Bool
    private let lock = NSLock()
    private var used = 0
    private var most = 0
    /// Events around every piece of work while a profile is taken.
    private var spans: [(name: String, start: OpaquePointer, end: OpaquePointer)]?

    let scratch = ScratchUse()

    /// - Throws: `CUDAError` "driver".
    public init(driver: CUDADriver, device: CUDADevice, memoryLimit: Int? = nil) throws {
        (self.driver, self.device, self.memoryLimit) = (driver, device, memoryLimit)
        var (context, stream, pool): (OpaquePointer?, OpaquePointer?, OpaquePointer?)
        try driver.check(driver.primaryContextRetain(&context, device.id), "opening \(device.name)")
        try driver.check(driver.contextSetCurrent(context), "using \(device.name)")
        try driver.check(driver.streamCreate(&stream, 1), "making a stream")
        try driver.check(driver.deviceGetDefaultPool(&pool, device.id), "finding the memory pool")
        guard let context, let stream, let pool else {
            throw CUDAError(.driver, "\(device.name) gave no handles", hint: "restart the worker")
        }
        (self.context, handle, self.pool) = (context, stream, pool)
        registersMemory = CUDAHostMemory.registers(driver)
        // Freed memory stays with this process: allocations in the next step come from it.
        var threshold = UInt64.max
        try driver.check(driver.poolSetAttribute(pool, 4, &threshold), "setting up the memory pool")
    }

    deinit {
        _ = driver.contextSetCurrent(context)
        _ = driver.streamSynchronize(handle)
        _ = driver.streamDestroy(handle)
        _ = driver.primaryContextRelease(device.id)
    }

    var stream: OpaquePointer { handle }

    /// Makes the GPU the calling thread's.
    func enter() throws { try driver.check(driver.contextSetCurrent(context), "using \(device.name)") }

    /// The same for what the host has a part in, which cannot be noted.
    func enterForHost(_ what: String) throws {
        try enter()
        guard scratch.isNoting else { return }
        throw CUDAError(.driver, "\(what) while work is noted", hint: "such work is queued piece by piece")
    }

    /// Whether a profile is being taken, for which work is queued piece by piece.
    public var isProfiled: Bool { lock.withLock { spans != nil } }

    // MARK: Memory

    /// Bytes allocated now, and at most since the last `resetPeak`.
    public var usage: (now: Int, peak: Int) { lock.withLock { (used, most) } }
    public func resetPeak() { lock.withLock { most = used } }

    /// Free bytes of the GPU, as far as this process may take them.
    public func freeBytes() throws -> Int {
        try enter()
        var (free, total) = (0, 0)
        try driver.check(driver.memoryInfo(&free, &total), "asking for free memory")
        // What the pool keeps between jobs belongs to this process: it is as good as free.
        var (reserved, taken): (UInt64, UInt64) = (0, 0)
        if driver.poolGetAttribute(pool, 5, &reserved) == 0, driver.poolGetAttribute(pool, 7, &taken) == 0 {
            free += Int(clamping: reserved) - min(Int(clamping: taken), Int(clamping: reserved))
        }
        // Allocations take whole pages, and other programs some on the side.
        let usable = max(0, free - max(256 << 20, total / 50))
        return memoryLimit.map { max(0, min(usable, $0 - usage.now)) } ?? usable
    }

    /// - Throws: `CUDAError` "outOfMemory" or "driver".
    public func allocate(_ byteCount: Int) throws -> DeviceAddress {
        try enter()
        let size = max(byteCount, 16)
        if let address = try scratch.place(size) { return address }
        let fits = lock.withLock {
            guard memoryLimit.map({ used + size <= $0 }) ?? true else { return false }
            used += size
            most = max(most, used)
            return true
        }
        guard fits else { throw CUDAError(.outOfMemory, "allocating \(size) bytes", hint: "the limit is reached") }
        var address: DeviceAddress = 0
        var status = driver.allocateAsync(&address, size, handle)
        if status == 2 {
            // What the pool keeps may be in pieces of the wrong size.
            _ = driver.streamSynchronize(handle)
            _ = driver.poolTrim(pool, 0)
            status = driver.allocateAsync(&address, size, handle)
        }
        if status != 0 { lock.withLock { used -= size } }
        try driver.check(status, "allocating \(size) bytes")
        scratch.allocated(address, size)
        return address
    }

    /// Gives memory back after the work queued so far.
    public func free(_ address: DeviceAddress, _ byteCount: Int) {
        guard !scratch.takesBack(address, byteCount), driver.contextSetCurrent(context) == 0 else { return }
        _ = driver.freeAsync(address, handle)
        lock.withLock { used -= max(byteCount, 16) }
    }

    public func copyToDevice(_ bytes: UnsafeRawBufferPointer, _ address: DeviceAddress) throws {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return }
        try enterForHost("copying to the GPU")
        try driver.check(driver.copyToDevice(address, base, bytes.count, handle), "copying to the GPU")
    }

    /// Waits for all work queued before.
    public func copyToHost(_ address: DeviceAddress, _ bytes: UnsafeMutableRawBufferPointer) throws {
        try enterForHost("copying from the GPU")
        if let base = bytes.baseAddress, bytes.count > 0 {
            try driver.check(driver.copyToHost(base, address, bytes.count, handle), "copying from the GPU")
        }
        try synchronize()
    }

    public func copy(_ source: DeviceAddress, to destination: DeviceAddress, _ byteCount: Int) throws {
        guard byteCount > 0 else { return }
        try enter()
        try driver.check(driver.copyOnDevice(destination, source, byteCount, handle), "copying on the GPU")
    }

    public func clear(_ address: DeviceAddress, _ byteCount: Int) throws {
        guard byteCount > 0 else { return }
        try enter()
        try driver.check(driver.setBytes(address, 0, byteCount, handle), "clearing memory")
    }

    public func synchronize() throws {
        try enterForHost("waiting for the GPU")
        try driver.check(driver.streamSynchronize(handle), "waiting for the GPU")
    }

    // MARK: Time

    /// Milliseconds between two moments of the queue's work, from just before to just after `body`'s.
    public func time(_ body: () throws -> Void) throws -> Double {
        try enter()
        let start = try mark()
        defer { _ = driver.eventDestroy(start) }
        try body()
        let end = try mark()
        defer { _ = driver.eventDestroy(end) }
        return try milliseconds(start, end)
    }

    /// Runs `body` and returns the time of each piece of work that it queued, summed by name, the longest first.
    ///
    /// Each piece is timed alone: what would run on while the next one starts counts in full.
    public func profile(_ body: () throws -> Void) throws -> [WorkTime] {
        try enter()
        lock.withLock { spans = [] }
        defer { lock.withLock { spans = nil } }
        try body()
        try synchronize()
        var times: [String: WorkTime] = [:]
        for span in lock.withLock({ spans ?? [] }) {
            var time = times[span.name] ?? WorkTime(name: span.name)
            time.count += 1
            time.milliseconds += try milliseconds(span.start, span.end)
            times[span.name] = time
            _ = driver.eventDestroy(span.start)
            _ = driver.eventDestroy(span.end)
        }
        return times.values.sorted { $0.milliseconds > $1.milliseconds }
    }

    /// Queues one piece of work, between events if a profile is taken.
    func spanning(_ name: @autoclosure () -> String, _ body: () throws -> Void) throws {
        guard lock.withLock({ spans != nil }) else { return try body() }
        let start = try mark()
        try body()
        let span = (name(), start, try mark())
        lock.withLock { spans?.append(span) }
    }

    private func mark() throws -> OpaquePointer {
        var event: OpaquePointer?
        try driver.check(driver.eventCreate(&event, 0), "making an event")
        guard let event else { throw CUDAError(.driver, "no event", hint: "restart the worker") }
        try driver.check(driver.eventRecord(event, handle), "recording an event")
        return event
    }

    private func milliseconds(_ start: OpaquePointer, _ end: OpaquePointer) throws -> Double {
        try driver.check(driver.eventSynchronize(end), "waiting for an event")
        var milliseconds: Float = 0
        try driver.check(driver.eventElapsed(&milliseconds, start, end), "reading an event")
        return Double(milliseconds)
    }

    // MARK: Kernels

    /// - Parameter code: as the compiler gave it.
    public func loadModule(_ code: [UInt8], name: String) throws -> CUDAModule {
        try enter()
        var module: OpaquePointer?
        try code.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            try driver.check(driver.moduleLoad(&module, base), "loading \(name)")
        }
        guard let module else { throw CUDAError(.driver, "loading \(name)", hint: "restart the worker") }
        return CUDAModule(stream: self, handle: module, name: name)
    }

    /// Queues one launch.
    ///
    /// - Parameter arguments: laid out as the kernel declares them.
    public func launch(
        _ kernel: CUDAKernel, grid: (Int, Int), threads: Int, sharedBytes: Int, arguments: UnsafeMutableRawBufferPointer
    ) throws {
        var size = arguments.count
        try withUnsafeMutablePointer(to: &size) { size in
            var extra: [UnsafeMutableRawPointer?] = [
                UnsafeMutableRawPointer(bitPattern: 1), arguments.baseAddress, UnsafeMutableRawPointer(bitPattern: 2),
                UnsafeMutableRawPointer(size), nil,
            ]
            try launch(kernel, grid, threads, sharedBytes, nil, &extra)
        }
    }

    /// The same for a kernel of one argument, which the driver puts where the compiler wants it: structures with tensor maps
    /// are aligned to 64 bytes in constant memory, and do not begin where packed arguments do.
    public func launch(
        _ kernel: CUDAKernel, grid: (Int, Int), threads: Int, sharedBytes: Int, argument: UnsafeMutableRawPointer
    ) throws {
        var arguments: [UnsafeMutableRawPointer?] = [argument]
        try launch(kernel, grid, threads, sharedBytes, &arguments, nil)
    }

    private func launch(
        _ kernel: CUDAKernel, _ grid: (Int, Int), _ threads: Int, _ sharedBytes: Int,
        _ arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
        _ extra: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) throws {
        try enter()
        try spanning(kernel.name) {
            try driver.check(
                driver.launchKernel(
                    kernel.handle, UInt32(grid.0), UInt32(grid.1), 1, UInt32(threads), 1, 1, UInt32(sharedBytes),
                    handle, arguments, extra), "launching \(kernel.name)")
        }
    }
}

/// What one kind of work took.
public struct WorkTime: Codable, Sendable {
    public let name: String
    public internal(set) var count = 0
    public internal(set) var milliseconds = 0.0
}

/// Machine code on a GPU; never unloaded.
public final class CUDAModule: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: the handle never changes.
    private unowned let stream: CUDAStream
    private let handle: OpaquePointer
    private let name: String

    init(stream: CUDAStream, handle: OpaquePointer, name: String) {
        (self.stream, self.handle, self.name) = (stream, handle, name)
    }

    /// - Parameter sharedBytes: the most shared memory that a block may have; what the kernel has of its own is taken off.
    public func kernel(_ kernel: String, sharedBytes: Int) throws -> CUDAKernel {
        try stream.enter()
        var function: OpaquePointer?
        try stream.driver.check(
            stream.driver.moduleGetFunction(&function, handle, kernel), "finding \(kernel) in \(name)")
        guard let function else { throw CUDAError(.driver, "no \(kernel) in \(name)", hint: "restart the worker") }
        if sharedBytes > 48 << 10 {
            var own: Int32 = 0
            try stream.driver.check(
                stream.driver.functionGetAttribute(&own, 1, function), "asking for the shared memory of \(kernel)")
            let rest = Int32(sharedBytes) - own
            try stream.driver.check(
                stream.driver.functionSetAttribute(function, 8, rest), "giving \(kernel) \(rest) bytes of shared memory"
            )
        }
        return CUDAKernel(handle: function, name: kernel)
    }
}

public struct CUDAKernel: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: a handle that never changes.
    let handle: OpaquePointer
    public let name: String
}
