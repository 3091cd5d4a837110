import Foundation
import Tensors

/// Named tensors in a file, a set of shards, or a folder that holds one of these. Data, never code.
///
/// Opening maps the file and reads its directory; tensors are read when they are touched. A tensor's bytes need not be
/// aligned to its element size.
public struct Checkpoint: Sendable {
    /// The file that was opened: the checkpoint, or the index of its shards.
    public let path: String
    /// Tensor names in the order of the file.
    public let names: [String]
    /// `__metadata__` of safetensors; empty otherwise.
    public let metadata: [String: String]
    private let records: [String: TensorRecord]
    /// Tensors that are in memory.
    private let kept: [String: HostTensor]

    /// Opens a safetensors file, a `*.safetensors.index.json` with its shards, a PyTorch zip archive, or a folder that
    /// holds exactly one of them. What a file is, its first bytes decide, not its name.
    /// - Throws: `CheckpointError`.
    public static func open(_ path: String) throws(CheckpointError) -> Checkpoint {
        try open(FileMapping(path: CheckpointFolder.resolve(path)))
    }

    /// Opens what `mapping` holds.
    static func open(_ mapping: FileMapping) throws(CheckpointError) -> Checkpoint {
        if SafetensorsFile.matches(mapping.bytes) {
            let content = try SafetensorsFile(mapping)
            return Checkpoint(path: mapping.path, records: content.records, metadata: content.metadata)
        }
        if ZipArchive.matches(mapping.bytes) {
            return Checkpoint(path: mapping.path, records: try TorchArchive(mapping).records, metadata: [:])
        }
        if mapping.bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "{") {
            let content = try SafetensorsIndex(mapping)
            return Checkpoint(path: mapping.path, records: content.records, metadata: content.metadata)
        }
        throw Self.unrecognised(mapping)
    }

    private init(path: String, records: [TensorRecord], metadata: [String: String]) {
        self.path = path
        self.metadata = metadata
        names = records.map(\.name)
        self.records = Dictionary(uniqueKeysWithValues: records.map { ($0.name, $0) })
        kept = [:]
    }

    /// Tensors in memory, of different names, as if a file held them.
    /// - Parameter path: what errors call the file.
    public init(_ tensors: [HostTensor], path: String) {
        self.path = path
        (metadata, records) = ([:], [:])
        names = tensors.map(\.name)
        kept = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0) })
    }

    private static func unrecognised(_ mapping: FileMapping) -> CheckpointError {
        if mapping.bytes.starts(with: [0x80, 0x02]) {
            return .unsupported(
                mapping.path, "a pickle outside a zip archive (torch.save before version 1.6)",
                hint: "load and save it again with a current PyTorch, or convert it to safetensors")
        }
        if mapping.bytes.starts(with: Array("GGUF".utf8)) {
            return .unsupported(
                mapping.path, "a GGUF file", hint: "use the safetensors or .pth release of the model")
        }
        return CheckpointError(
            code: .notACheckpoint,
            message: "\(mapping.path): not a checkpoint (\(mapping.bytes.count) bytes)",
            hint:
                "expected safetensors, a safetensors index, or a .pth of torch.save; is the download complete?"
        )
    }

    /// The tensor called `name`, or nil: a view of the map, or a copy where the file holds it strided.
    public func tensor(_ name: String) -> HostTensor? { kept[name] ?? records[name]?.tensor() }

    /// Shape and type of a tensor without touching its bytes.
    public func layout(_ name: String) -> (shape: [Int], dtype: DType)? {
        kept[name].map { ($0.shape, $0.dtype) } ?? records[name].map { ($0.shape, $0.dtype) }
    }

    /// The tensor called `name`.
    /// - Parameters:
    ///   - shape: what it must be; nil for any.
    ///   - dtypes: what it may be; nil for any.
    /// - Throws: `CheckpointError` that says file, tensor, expected and found.
    public func require(_ name: String, shape: [Int]? = nil, dtypes: [DType]? = nil)
        throws(CheckpointError)
        -> HostTensor
    {
        guard let found = layout(name), let tensor = tensor(name) else {
            throw .missing(name, shape: shape, file: path)
        }
        try CheckpointError.check(name, found.shape, found.dtype, shape: shape, dtypes: dtypes, file: path)
        return tensor
    }
}

extension CheckpointError {
    static let misfitHint = "the file does not belong to this model, or is damaged"

    static func missing(_ name: String, shape: [Int]?, file: String) -> CheckpointError {
        let expected = shape.map { ", expected with shape \($0)" } ?? ""
        return CheckpointError(
            code: .missingTensor, message: "\(file): tensor \(quoted(name)) is missing\(expected)",
            hint: misfitHint)
    }

    static func check(
        _ name: String, _ foundShape: [Int], _ foundType: DType, shape: [Int]?, dtypes: [DType]?,
        file: String
    ) throws(CheckpointError) {
        if let shape, shape != foundShape {
            throw CheckpointError(
                code: .shapeMismatch,
                message: "\(file): tensor \(quoted(name)): expected shape \(shape), found \(foundShape)",
                hint: misfitHint)
        }
        if let dtypes, !dtypes.contains(foundType) {
            throw CheckpointError(
                code: .typeMismatch,
                message:
                    "\(file): tensor \(quoted(name)): expected \(dtypes.map(\.rawValue).joined(separator: " or ")), "
                    + "found \(foundType.rawValue)",
                hint: misfitHint)
        }
    }
}

/// A folder stands for the one checkpoint in it.
enum CheckpointFolder {
    static func resolve(_ path: String) throws(CheckpointError) -> String {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue
        else {
            return path
        }
        guard let listing = try? FileManager.default.contentsOfDirectory(atPath: path) else {
            throw FileMapping.failure(path, "cannot be listed")
        }
        for suffixes in [[".safetensors.index.json"], [".safetensors"], [".pth", ".pt", ".bin"]] {
            let matches = listing.filter { name in suffixes.contains { name.hasSuffix($0) } }.sorted()
            if matches.count == 1 { return URL(filePath: path).appending(path: matches[0]).path }
            guard matches.isEmpty else {
                throw CheckpointError(
                    code: .notACheckpoint,
                    message:
                        "\(path): holds several checkpoints: \(matches.prefix(8).joined(separator: ", "))",
                    hint: "name one of them")
            }
        }
        throw CheckpointError(
            code: .notACheckpoint, message: "\(path): holds no checkpoint",
            hint: "expected one *.safetensors.index.json, *.safetensors or *.pth in the folder")
    }
}
