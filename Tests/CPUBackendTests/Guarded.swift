import Foundation
import Tensors
import Testing

@testable import CPUBackend
@testable import OperationChecks

/// Values between sentinels: what an operation reads beyond them is NaN, what it writes beyond them is found.
struct Guarded {
    static let margin = 67
    static let sentinel: UInt32 = 0x7FC0_1234
    let tensor: Tensor
    private let whole: Tensor

    /// - Parameter values: nil for an output, poisoned with NaN.
    init(_ backend: CPUBackend, _ shape: [Int], _ values: [Float]? = nil) throws {
        let count = shape.reduce(1, *)
        whole = try backend.allocate([count + 2 * Self.margin], .f32)
        let padding = [Float](repeating: Float(bitPattern: Self.sentinel), count: Self.margin)
        let poison = [Float](repeating: Float(bitPattern: 0x7FC0_5678), count: count)
        backend.write(padding + (values ?? poison) + padding, into: whole)
        tensor = Tensor(buffer: whole.buffer, offset: Self.margin * 4, shape: shape, dtype: .f32)
    }

    /// The values, after a look at the sentinels.
    func values(_ backend: CPUBackend, sourceLocation: SourceLocation = #_sourceLocation) -> [Float] {
        let all = backend.download(whole)
        let edges = all.prefix(Self.margin) + all.suffix(Self.margin)
        #expect(
            edges.allSatisfy { $0.bitPattern == Self.sentinel }, "wrote outside its output",
            sourceLocation: sourceLocation)
        return Array(all.dropFirst(Self.margin).dropLast(Self.margin))
    }
}

extension Values {
    /// Values that bf16 holds exactly.
    mutating func bf16(_ count: Int, scale: Double = 1) -> [Float] {
        normal(count, scale: scale).map { Float(bitPattern: $0.bitPattern & 0xFFFF_0000) }
    }
}

/// One backend for each level of this machine, with one and with three threads.
let backends: [CPUBackend] = CPULevel.available.flatMap { level in
    [CPUBackend(threads: 1, level: level), CPUBackend(threads: 3, level: level)]
}

extension CPUBackend: CustomTestStringConvertible {
    public var testDescription: String { "\(level.rawValue), \(threadCount) threads" }
}
