/// A backend whose memory is apart from the host's: parameters can wait in host memory and come back beside other work.
public protocol StreamingBackend: Backend {
    /// Copies `tensors` behind one another into host memory, each at a multiple of `ParameterLayout.alignment`.
    /// - Throws: `BackendError`; `.outOfMemory` if the host has no room.
    func save(_ tensors: [Tensor]) throws -> any ParameterImage
    /// Queues copying `image` into `slot` (u8, at least as long), after all work queued so far and beside what comes next.
    func beginLoading(_ image: any ParameterImage, into slot: Tensor) throws -> any PendingLoad
    /// Work queued from now on begins when the copy is complete.
    func finishLoading(_ load: any PendingLoad) throws
    /// Seconds that work has waited for copies since the last call; waits for the work queued so far.
    func takeWaitingTime() -> Double
}

/// Parameters in host memory, as `StreamingBackend.save` left them.
public protocol ParameterImage: AnyObject, Sendable {
    var byteCount: Int { get }
}

/// A copy under way.
public protocol PendingLoad: AnyObject, Sendable {}

/// How several tensors lie in one piece of memory.
public struct ParameterLayout: Sendable, Hashable {
    public static let alignment = 256

    private struct Part: Sendable, Hashable {
        let offset: Int
        let shape: [Int]
        let dtype: DType
    }
    private let parts: [Part]
    public let byteCount: Int

    public init(_ tensors: [Tensor]) {
        var (parts, end): ([Part], Int) = ([], 0)
        for tensor in tensors {
            parts.append(Part(offset: end, shape: tensor.shape, dtype: tensor.dtype))
            end += (tensor.byteCount + Self.alignment - 1) / Self.alignment * Self.alignment
        }
        (self.parts, byteCount) = (parts, end)
    }

    public var offsets: [Int] { parts.map(\.offset) }

    /// The tensors, over `memory` (u8).
    public func tensors(in memory: Tensor) -> [Tensor] {
        parts.map {
            Tensor(buffer: memory.buffer, offset: memory.offset + $0.offset, shape: $0.shape, dtype: $0.dtype)
        }
    }

    /// The tensors over nothing: shapes alone.
    public var placeholders: [Tensor] {
        tensors(in: Tensor(buffer: NoMemory(byteCount: byteCount), shape: [byteCount], dtype: .u8))
    }
}

/// Stands where parameters belong that are elsewhere.
private final class NoMemory: DeviceBuffer {
    let byteCount: Int

    init(byteCount: Int) { self.byteCount = byteCount }
}
