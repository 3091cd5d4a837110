import CPUBackend
import Foundation
import Tensors

/// The operations of the CPU backend at the shapes of real models, against sgemm in the same run.
public struct KernelBenchmark {
    public enum Section: String, CaseIterable, Sendable {
        case linear, attention, convolution
    }

    let backend: CPUBackend
    public private(set) var table: MeasurementTable

    public init(backend: CPUBackend) {
        self.backend = backend
        table = MeasurementTable(
            device: "\(backend.deviceDescription); OpenBLAS \(SgemmYardstick.core)",
            sgemm: SgemmYardstick.rate(on: backend))
    }

    /// - Parameter report: called with each row when it is known.
    public mutating func run(_ sections: [Section] = Section.allCases, report: (Measurement) -> Void = { _ in }) throws
        -> MeasurementTable
    {
        for section in sections {
            let cases: [Case] =
                switch section {
                case .linear: try linearCases()
                case .attention: attentionCases()
                case .convolution: convolutionCases()
                }
            for item in cases {
                let body = try item.prepare()
                let rate = item.operations == nil ? nil : SgemmYardstick.rate(on: backend, budget: 0.1)
                let time = Stopwatch.measure(body)
                table.add(
                    Measurement(
                        section: section.rawValue, name: item.name, shape: item.shape, seconds: time.seconds,
                        processorSeconds: time.processorSeconds, operations: item.operations), beside: rate)
                if let row = table.rows.last { report(row) }
            }
        }
        return table
    }

    /// One row: `prepare` makes the tensors and returns what is timed.
    struct Case {
        let name: String
        let shape: String
        let operations: Double?
        let prepare: () throws -> () -> Void
    }

    /// Values that are cheap to make and neither zero nor denormal.
    func tensor(_ shape: [Int]) throws -> Tensor {
        let result = try backend.allocate(shape, .f32)
        let count = result.elementCount
        backend.write(Self.values(count, step: 0.01), into: result)
        return result
    }

    /// From -125 to 125 steps, in an order without pattern.
    static func values(_ count: Int, step: Float) -> [Float] {
        (0..<count).map { index -> Float in Float((index &* 7919) % 251 - 125) * step }
    }
}
