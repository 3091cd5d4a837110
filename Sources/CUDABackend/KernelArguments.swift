import CUDADriver
import Tensors

/// Arguments of one launch, laid out as the kernel declares them: each at a multiple of its alignment.
struct KernelArguments {
    private(set) var bytes: [UInt8] = []

    /// Adds a value whose layout is C's: an integer, a float, an address, or a structure of those.
    mutating func add<Value: BitwiseCopyable>(_ value: Value) {
        let alignment = MemoryLayout<Value>.alignment
        while bytes.count % alignment != 0 { bytes.append(0) }
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: repeatElement(0, count: MemoryLayout<Value>.stride - MemoryLayout<Value>.size))
    }
}

/// Something a kernel takes.
protocol KernelArgument { func add(to arguments: inout KernelArguments) }

extension KernelArgument where Self: BitwiseCopyable {
    func add(to arguments: inout KernelArguments) { arguments.add(self) }
}

extension Int32: KernelArgument {}
extension Int64: KernelArgument {}
extension Float: KernelArgument {}
extension UInt64: KernelArgument {}

extension Tensor: KernelArgument {
    func add(to arguments: inout KernelArguments) { arguments.add(address) }

    /// Where the elements lie. - Precondition: a tensor of the CUDA backend.
    var address: DeviceAddress {
        guard let buffer = buffer as? CUDABuffer else { preconditionFailure("a tensor of another backend") }
        return buffer.address + DeviceAddress(offset)
    }

    /// Rows of a matrix `[rows, last dimension]`.
    var matrix: (rows: Int, columns: Int) {
        let columns = shape.last ?? 1
        return (columns == 0 ? 0 : elementCount / columns, columns)
    }

    func isAligned(_ bytes: Int) -> Bool { address % DeviceAddress(bytes) == 0 }
}

/// A pointer that may be null.
extension Optional: KernelArgument where Wrapped == Tensor {
    func add(to arguments: inout KernelArguments) { arguments.add(address) }
    var address: DeviceAddress { map(\.address) ?? 0 }
}

/// `Epilogue` of common.cuh.
struct KernelEpilogue: KernelArgument, BitwiseCopyable {
    var bias: DeviceAddress = 0
    var operand: DeviceAddress = 0
    var kind: Int32 = 0
    var roundsFirst: Int32 = 0

    enum Kind: Int32 {
        case store, silu, geluTanh, accumulate, gated, multiply, residual
    }
}

/// `Permutation` of elements.cu.
struct KernelPermutation: KernelArgument, BitwiseCopyable {
    typealias Eight<Value> = (Value, Value, Value, Value, Value, Value, Value, Value)
    var count: Int32
    var extents: Eight<Int32>
    var steps: Eight<Int64>

    init(extents: [Int], steps: [Int]) {
        count = Int32(extents.count)
        func extent(_ index: Int) -> Int32 { index < extents.count ? Int32(extents[index]) : 1 }
        func step(_ index: Int) -> Int64 { index < steps.count ? Int64(steps[index]) : 0 }
        self.extents = (
            extent(0), extent(1), extent(2), extent(3), extent(4), extent(5), extent(6), extent(7)
        )
        self.steps = (step(0), step(1), step(2), step(3), step(4), step(5), step(6), step(7))
    }
}

/// `Window` of gemm.cu.
struct KernelWindow: KernelArgument, BitwiseCopyable {
    var history: DeviceAddress
    var historyFrames: Int32
    var frames: Int32
    var height: Int32
    var width: Int32
    var input: Int32
    var kernelHeight: Int32
    var kernelWidth: Int32
    var strideT: Int32
    var strideH: Int32
    var strideW: Int32
    var first: Int32
    var top: Int32
    var left: Int32
    var outHeight: Int32
    var outWidth: Int32
}

/// `Attention` of attention.cu.
struct KernelAttention: KernelArgument, BitwiseCopyable {
    var q: DeviceAddress
    var k: DeviceAddress
    var v: DeviceAddress
    var out: DeviceAddress
    var bias: DeviceAddress = 0
    var blocks: DeviceAddress = 0
    var qScale: DeviceAddress = 0
    var kScale: DeviceAddress = 0
    var vScale: DeviceAddress = 0
    var biasHead: Int64 = 0
    var biasQuery: Int64 = 0
    var stride: Int32
    var dim: Int32
    var queries: Int32
    var keys: Int32
    var queryBlock: Int32
    var keyBlock: Int32
    var selected: Int32 = 0
    var scale: Float
}
