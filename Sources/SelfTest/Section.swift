import Checkpoints
import Foundation
import Tensors

/// One kind's folder, and what its runners share.
final class Section {
    let folder: URL
    let backend: any Backend
    let root: Record
    let kind: String
    private var files: [String: Checkpoint] = [:]

    init(folder: URL, backend: any Backend) throws {
        self.folder = folder
        self.backend = backend
        root = try Record(file: folder.appending(path: "cases.json"))
        kind = try root.optional("section")?.string ?? folder.lastPathComponent
    }

    /// Runs everything the folder holds, one line a case.
    func run(_ note: (SelfTest.Line) -> Void) {
        let runners: [String: (Section, (SelfTest.Line) -> Void) throws -> Void] = [
            "checkpoints": CheckpointCases.run, "dit": TransformerCases.run, "dit_sla": TransformerCases.run,
            "image": ImageCases.run, "int8_linear": Int8LinearCases.run, "noise": NoiseCases.run,
            "pipeline": PipelineCases.run, "sagesla": SparseAttentionCases.run, "sla": SparseAttentionCases.run,
            "sampler": SamplerCases.run, "tokenizer": TokenizerCases.run, "umt5": TextEncoderCases.run,
            "vae": VAECases.run,
        ]
        guard let runner = runners[kind] else {
            note(SelfTest.Line(kind: kind, name: folder.lastPathComponent, detail: "unknown kind", passed: false))
            return
        }
        do { try runner(self, note) } catch {
            note(SelfTest.Line(kind: kind, name: "cases.json", detail: text(of: error), passed: false))
        }
    }

    /// Runs `body` for every case; what it throws is that case's failure.
    func eachCase(_ note: (SelfTest.Line) -> Void, _ body: (Record, String) throws -> [Measurement]) throws {
        let cases = try root["cases"].array
        guard !cases.isEmpty else { throw CaseError("no case in it") }
        for (index, record) in cases.enumerated() {
            let name = (try? record["name"].string) ?? "case \(index)"
            note(line(name) { try body(record, name) })
        }
    }

    /// One case's line: its worst comparison, or every failed one.
    func line(_ name: String, _ body: () throws -> [Measurement]) -> SelfTest.Line {
        do {
            let measurements = try body()
            guard let worst = measurements.max(by: { $0.ratio < $1.ratio }) else {
                return SelfTest.Line(kind: kind, name: name, detail: "nothing was compared", passed: false)
            }
            let failed = measurements.filter { !$0.passed }
            if !failed.isEmpty {
                let detail = failed.map(\.description).joined(separator: "; ")
                return SelfTest.Line(kind: kind, name: name, detail: detail, passed: false)
            }
            let more = measurements.count > 1 ? ", worst of \(measurements.count)" : ""
            return SelfTest.Line(kind: kind, name: name, detail: worst.description + more, passed: true)
        } catch {
            return SelfTest.Line(kind: kind, name: name, detail: text(of: error), passed: false)
        }
    }

    /// The file a value names: a path, a path followed by a remark, or a record with `file`.
    func fileName(_ record: Record) throws -> String {
        if record.has("file") { return try record["file"].string }
        let text = try record.string
        guard let end = text.range(of: ".safetensors")?.upperBound else {
            throw CaseError("\(record.path) names no file")
        }
        return String(text[..<end])
    }

    /// A file given by a path relative to the folder.
    func url(_ path: String) -> URL { folder.appending(path: path) }

    /// An opened safetensors file of the folder, kept.
    func file(_ path: String) throws -> Checkpoint {
        if let open = files[path] { return open }
        let checkpoint = try Checkpoint.open(url(path).path)
        files[path] = checkpoint
        return checkpoint
    }

    func tensor(_ name: String, in path: String) throws -> HostTensor {
        guard let tensor = try file(path).tensor(name) else { throw CaseError("\(path) has no tensor \(name)") }
        return tensor
    }

    // MARK: Tolerances

    var computesInFloat32: Bool { backend.activationType == .f32 }

    /// The relative L2 a case allows this backend.
    func tolerance(_ record: Record) throws -> Double {
        if computesInFloat32 { return try record["tol_f32"].double }
        if let bf16 = record.optional("tol_bf16") { return try bf16.double }
        // Where no figure is stated for bf16: three times what the unmodified kernels lose on the same case.
        if let measured = try gpuRecords(record).first { return 3 * (try measured.record["rel_l2_vs_expected"].double) }
        return try record["tol_f32"].double
    }

    /// Tensors the unmodified reference produced on a GPU, with the distance to them that a case allows.
    func gpuRecords(_ record: Record) throws -> [(record: Record, file: String, tensor: String)] {
        guard let gpu = record.optional("gpu_h100") else { return [] }
        let candidates = [gpu] + gpu.keys.compactMap { gpu.optional($0) }
        return try candidates.compactMap { candidate in
            guard candidate.has("file"), candidate.has("tensor") else { return nil }
            return (candidate, try candidate["file"].string, try candidate["tensor"].string)
        }
    }

    /// Comparisons with those tensors.
    func gpuMeasurements(_ record: Record, found: [Float]) throws -> [Measurement] {
        try gpuRecords(record).map { gpu in
            let distance = try gpu.record["rel_l2_vs_expected"].double
            // Without a stated tolerance: no further from it than the expected values are, and our own tolerance.
            let limit = try record.optional("tol_bf16")?.double ?? distance * 1.05 + record["tol_f32"].double
            return Measurement(
                what: gpu.tensor, error: relativeL2(found, try tensor(gpu.tensor, in: gpu.file).floats()), limit: limit,
                measure: "rel L2")
        }
    }

    /// The first number in a tolerance written as a sentence.
    static func leadingNumber(_ text: String, after marker: String = "") throws -> Double {
        let start = marker.isEmpty ? text.startIndex : text.range(of: marker)?.upperBound
        guard let start else { throw CaseError("no \"\(marker)\" in \"\(text)\"") }
        let number = text[start...].drop { !$0.isNumber }.prefix { $0.isNumber || ".eE-+".contains($0) }
        guard let value = Double(String(number.reversed().drop { !$0.isNumber }.reversed())) else {
            throw CaseError("no number in \"\(text)\"")
        }
        return value
    }
}

extension HostTensor {
    /// Item `index` of the outermost dimension, widened to float32.
    func floats(item index: Int) -> [Float] {
        let count = elementCount / max(shape[0], 1)
        return Array(floats()[index * count..<(index + 1) * count])
    }

    func doubles() -> [Double] {
        guard dtype == .f64 else { return floats().map(Double.init) }
        return (0..<elementCount).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    }

    func ints() -> [Int] {
        switch dtype {
        case .i32: (0..<elementCount).map { Int(bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)) }
        case .i64: (0..<elementCount).map { Int(bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self)) }
        case .i8: (0..<elementCount).map { Int(bytes.loadUnaligned(fromByteOffset: $0, as: Int8.self)) }
        default: floats().map { Int($0) }
        }
    }
}
