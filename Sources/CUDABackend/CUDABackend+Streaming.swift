import CUDADriver
import Tensors

/// Parameters in pinned host memory.
private final class CUDAImage: ParameterImage {
    let memory: CUDAHostMemory

    init(_ memory: CUDAHostMemory) { self.memory = memory }

    var byteCount: Int { memory.bytes.count }
}

private final class CUDALoad: PendingLoad {
    let end: CUDAEvent?
    /// Must outlive the copy.
    let image: CUDAImage

    init(_ end: CUDAEvent?, _ image: CUDAImage) { (self.end, self.image) = (end, image) }
}

extension CUDABackend: StreamingBackend {
    public func save(_ tensors: [Tensor]) throws -> any ParameterImage {
        try check()
        let layout = ParameterLayout(tensors)
        let memory: CUDAHostMemory
        do { memory = try CUDAHostMemory(stream: stream, byteCount: layout.byteCount) } catch {
            throw failure(error, requested: layout.byteCount)
        }
        for (tensor, offset) in zip(tensors, layout.offsets) {
            let part = UnsafeMutableRawBufferPointer(rebasing: memory.bytes[offset..<offset + tensor.byteCount])
            must { try stream.beginCopyToHost(tensor.address, part) }
        }
        if !memory.isPinned { synchronize() }
        try check()
        return CUDAImage(memory)
    }

    public func beginLoading(_ image: any ParameterImage, into slot: Tensor) throws -> any PendingLoad {
        guard let image = image as? CUDAImage else { preconditionFailure("an image of another backend") }
        precondition(slot.byteCount >= image.byteCount, "\(image.byteCount) bytes into \(slot.byteCount)")
        let end: CUDAEvent? = must(else: nil) {
            try copyLane().copy(UnsafeRawBufferPointer(image.memory.bytes), to: slot.address)
        }
        return CUDALoad(end, image)
    }

    public func finishLoading(_ load: any PendingLoad) throws {
        guard let load = load as? CUDALoad else { preconditionFailure("a copy of another backend") }
        must { try load.end?.hold() }
    }
}
