import Foundation

/// The driver's functions for noting work and queueing it again in one call.
struct GraphFunctions: Sendable {
    typealias Handle = CUDADriver.Handle
    typealias Status = CUDADriver.Status

    let begin: @convention(c) (Handle, Int32) -> Status
    let end: @convention(c) (Handle, UnsafeMutablePointer<Handle?>) -> Status
    let instantiate: @convention(c) (UnsafeMutablePointer<Handle?>, Handle, UInt64) -> Status
    let update: @convention(c) (Handle, Handle, UnsafeMutableRawPointer) -> Status
    let launch: @convention(c) (Handle, Handle) -> Status
    let destroy: @convention(c) (Handle) -> Status
    let destroyExecutable: @convention(c) (Handle) -> Status

    /// - Throws: `CUDAError` "missing" in drivers before CUDA 12.
    init(_ library: DynamicLibrary) throws {
        begin = try library.function("cuStreamBeginCapture_v2")
        end = try library.function("cuStreamEndCapture")
        instantiate = try library.function("cuGraphInstantiateWithFlags")
        update = try library.function("cuGraphExecUpdate_v2")
        launch = try library.function("cuGraphLaunch")
        destroy = try library.function("cuGraphDestroy")
        destroyExecutable = try library.function("cuGraphExecDestroy")
    }
}

/// Work that was noted once and is queued in one call, and the memory that it takes for its own length.
public final class CUDAGraph: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: nothing changes after initialisation; the driver is safe for threads.
    public let executable: CUDAExecutable
    private let memory: CUDAScratchMemory

    init(_ executable: CUDAExecutable, _ memory: CUDAScratchMemory) {
        (self.executable, self.memory) = (executable, memory)
    }
}

/// Work in the form that the driver queues: renewed for other memory, it need not be made again.
public final class CUDAExecutable: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: the handle never changes; the driver is safe for threads.
    private let stream: CUDAStream
    private let functions: GraphFunctions
    fileprivate let handle: OpaquePointer

    fileprivate init(_ stream: CUDAStream, _ functions: GraphFunctions, _ graph: OpaquePointer) throws {
        (self.stream, self.functions) = (stream, functions)
        var handle: OpaquePointer?
        try stream.driver.check(functions.instantiate(&handle, graph, 0), "making a graph of work")
        guard let handle else { throw CUDAError(.driver, "no graph of work", hint: "restart the worker") }
        self.handle = handle
    }

    deinit {
        guard (try? stream.enter()) != nil else { return }
        _ = functions.destroyExecutable(handle)
    }

    /// - Returns: whether `graph` is the same work with other arguments, which is what is queued from now on.
    fileprivate func becomes(_ graph: OpaquePointer) -> Bool {
        // CUgraphExecUpdateResultInfo: a number and two nodes.
        var result: (UInt64, UInt64, UInt64) = (0, 0, 0)
        return withUnsafeMutableBytes(of: &result) { bytes in
            bytes.baseAddress.map { functions.update(handle, graph, $0) == 0 } ?? false
        }
    }
}

extension CUDAStream {
    /// Whether the driver can note work.
    public var canNote: Bool { driver.graphs != nil }

    /// Runs `body` and returns the bytes that `noting` will need for what it allocates and gives back.
    public func measuringScratch(_ body: () throws -> Void) rethrows -> Int {
        scratch.beginMeasuring()
        do { try body() } catch {
            _ = scratch.end()
            throw error
        }
        return scratch.end().most
    }

    /// Notes what `body` queues, which is not done then.
    ///
    /// - Parameters:
    ///   - scratch: bytes for what `body` allocates; it has given everything back when it returns.
    ///   - executable: of earlier work of the same kind, for use by nobody else; made anew if it does not suit.
    /// - Throws: `CUDAError`, also for what cannot be noted: copies from and to the host, and waiting.
    public func noting(
        scratch byteCount: Int, renewing executable: CUDAExecutable? = nil, _ body: () throws -> Void
    ) throws -> CUDAGraph {
        guard let functions = driver.graphs else {
            throw CUDAError(.missing, "the driver does not note work", hint: "CUDA 12 brought that")
        }
        let memory = try CUDAScratchMemory(self, byteCount)
        try enter()
        // Relaxed: kernels may be loaded meanwhile.
        try driver.check(functions.begin(stream, 2), "noting work")
        scratch.beginNoting(in: memory)
        let outcome = Result { try body() }
        let use = scratch.end()
        var graph: OpaquePointer?
        let status = functions.end(stream, &graph)
        defer { if let graph { _ = functions.destroy(graph) } }
        for piece in use.later { free(piece.address, piece.byteCount) }
        try outcome.get()
        try driver.check(status, "noting work")
        guard let graph, use.isEmpty else {
            throw CUDAError(.driver, "noted work keeps memory", hint: "it is queued piece by piece")
        }
        if let executable, executable.becomes(graph) { return CUDAGraph(executable, memory) }
        return CUDAGraph(try CUDAExecutable(self, functions, graph), memory)
    }

    /// Queues all of it.
    public func launch(_ graph: CUDAGraph) throws {
        guard let functions = driver.graphs else { return }
        try enter()
        try driver.check(functions.launch(graph.executable.handle, stream), "launching a graph of work")
    }
}
