import Tensors

/// Proves a backend's operations one by one, against naive arithmetic in double precision.
///
/// Every operation runs on odd and even sizes, at aligned and unaligned addresses, between sentinels that must survive,
/// into outputs that were poisoned with NaN before. The same checks for every backend; limits follow from the type of
/// its activations.
public enum OperationChecks {
    /// One comparison.
    public struct Line: Sendable, CustomStringConvertible {
        public let operation: String
        public let detail: String
        public let passed: Bool

        public var description: String { "\(passed ? "ok  " : "FAIL") \(operation): \(detail)" }
    }

    /// - Parameters:
    ///   - only: operations whose name begins with this.
    ///   - long: also sparse attention over as many keys as films have; minutes on a processor.
    ///   - report: called with each line as it is found.
    public static func run(on backend: any Backend, only: String = "", long: Bool = false, report: (Line) -> Void) -> (
        passed: Int, failed: Int
    ) {
        var all: [(String, (Check) throws -> Void)] = [
            ("memory", checkMemory), ("elements", checkElements), ("permute", checkPermute), ("norms", checkNorms),
            ("rotate", checkRotate), ("linear", checkLinear), ("int8", checkInt8),
            ("fp8", checkRows8), ("feed-forward", checkFeedForward), ("attention", checkAttention),
            ("sparse", checkSparseAttention), ("convolution", checkConvolution),
            ("convolution of frames", checkConvolutionOfFrames), ("frames", checkFrames), ("streaming", checkStreaming),
        ]
        if long { all.append(("sparse over many keys", checkLongSparseAttention)) }
        var counts = (passed: 0, failed: 0)
        func note(_ line: Line) {
            if line.passed { counts.passed += 1 } else { counts.failed += 1 }
            report(line)
        }
        withoutActuallyEscaping(note) { note in
            for (name, body) in all where name.hasPrefix(only) {
                for margin in [64, 67] {
                    let check = Check(backend, name, margin: margin, note)
                    do {
                        try body(check)
                        try backend.check()
                    } catch {
                        note(Line(operation: name, detail: "\(error)", passed: false))
                    }
                }
            }
        }
        return counts
    }
}

/// What the checks of one operation share.
final class Check {
    let backend: any Backend
    let name: String
    /// Elements before and after every tensor: 64 keeps it aligned, 67 does not.
    let margin: Int
    private let note: (OperationChecks.Line) -> Void

    init(_ backend: any Backend, _ name: String, margin: Int, _ note: @escaping (OperationChecks.Line) -> Void) {
        (self.backend, self.name, self.margin, self.note) = (backend, name, margin, note)
    }

    var type: DType { backend.activationType }
    var isExact: Bool { type == .f32 }

    /// A tensor between sentinels; without values an output, poisoned.
    func tensor(_ shape: [Int], _ values: [Float]? = nil, _ dtype: DType? = nil) throws -> Guarded {
        try Guarded(backend, shape, values, dtype ?? type, margin: margin)
    }

    /// Compares a whole tensor: `limit` in float32, `limitBF16` where the backend's activations are bf16.
    func compare(
        _ what: String, _ found: Guarded, _ expected: [Double], _ limit: Double, bf16 limitBF16: Double = 4e-3
    ) {
        compare(what, found.values(), edgesAreWhole: found.edgesAreWhole, expected, limit, bf16: limitBF16)
    }

    /// The same for a part of a tensor.
    func compare(
        _ what: String, _ values: [Float], edgesAreWhole: Bool, _ expected: [Double], _ limit: Double,
        bf16 limitBF16: Double
    ) {
        let most = isExact ? limit : limitBF16
        let error = relativeError(values, expected)
        let passed = error <= most && edgesAreWhole
        var detail = "\(what)\(margin == 64 ? "" : ", unaligned"): NMSE \(short(error * error)) (\(short(most * most)))"
        if !edgesAreWhole { detail += "; wrote outside its output" }
        if error > most || error.isNaN { detail += "; " + mismatches(values, expected, most) }
        note(OperationChecks.Line(operation: name, detail: detail, passed: passed))
    }

    /// Bit for bit.
    func same(_ what: String, _ found: [Float], _ expected: [Float]) {
        let wrong = zip(found, expected).enumerated().filter { $1.0 != $1.1 && !($1.0.isNaN && $1.1.isNaN) }
        let passed = found.count == expected.count && wrong.isEmpty
        var detail = "\(what)\(margin == 64 ? "" : ", unaligned"): \(wrong.count) of \(expected.count) differ"
        for (index, pair) in wrong.prefix(4) { detail += "; [\(index)] \(pair.0) instead of \(pair.1)" }
        note(OperationChecks.Line(operation: name, detail: detail, passed: passed))
    }

    func same(_ what: String, _ found: Guarded, _ expected: [Float]) {
        same(what, found.values(), expected)
        if !found.edgesAreWhole {
            note(OperationChecks.Line(operation: name, detail: "\(what): wrote outside its output", passed: false))
        }
    }

    /// `values` as the activation type holds them.
    func rounded(_ values: [Float]) -> [Float] { isExact ? values : values.map(roundedToBF16) }

    private func mismatches(_ found: [Float], _ expected: [Double], _ limit: Double) -> String {
        guard found.count == expected.count else { return "\(found.count) values instead of \(expected.count)" }
        let size = (expected.reduce(0) { $0 + $1 * $1 } / Double(max(1, expected.count))).squareRoot()
        let wrong = found.indices.filter {
            !(abs(Double(found[$0]) - expected[$0]) <= 8 * limit * (size + abs(expected[$0])))
        }
        let shown = wrong.prefix(5).map { "[\($0)] \(found[$0]) instead of \(short(expected[$0]))" }
        return "\(wrong.count) of \(found.count) far off\(wrong.isEmpty ? "" : ", last at \(wrong.last ?? 0)"): "
            + shown.joined(separator: ", ")
    }
}

/// A tensor between sentinels: what is read beyond it is huge, what is written beyond it is found.
struct Guarded {
    static let sentinel: Float = 0x1p100
    let tensor: Tensor
    private let whole: Tensor
    private let backend: any Backend
    private let margin: Int

    init(_ backend: any Backend, _ shape: [Int], _ values: [Float]?, _ dtype: DType, margin: Int) throws {
        let count = shape.reduce(1, *)
        (self.backend, self.margin) = (backend, margin)
        whole = try backend.allocate([count + 2 * margin], dtype)
        let padding = [Float](repeating: Self.sentinel, count: margin)
        let all = padding + (values ?? [Float](repeating: .nan, count: count)) + padding
        precondition(all.count == count + 2 * margin, "\(all.count) values for \(shape)")
        if dtype == backend.activationType || dtype == .f32 {
            backend.write(all, into: whole)
        } else {
            backend.convert(try backend.upload(HostTensor(shape: [all.count], values: all), as: .f32), into: whole)
        }
        tensor = Tensor(buffer: whole.buffer, offset: margin * dtype.byteCount, shape: shape, dtype: dtype)
    }

    func values() -> [Float] { backend.download(tensor) }

    var edgesAreWhole: Bool {
        let all = backend.download(whole)
        // Half precision has no number so large.
        let sentinel = whole.dtype == .f16 ? .infinity : Self.sentinel
        return all.prefix(margin).allSatisfy { $0 == sentinel } && all.suffix(margin).allSatisfy { $0 == sentinel }
    }
}
