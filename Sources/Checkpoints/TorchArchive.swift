import Tensors

/// The named tensors of a PyTorch `.pth`: a zip of `data.pkl` and one entry a storage.
///
/// Names come from the outermost dict, or from its `state_dict` where it holds no tensors itself; entries that are
/// no tensors (step counts, notes) are left out. Source: torch/serialization.py `_save`.
struct TorchArchive {
    /// Keys under which trainers nest the weights.
    static let nestedKeys = ["state_dict", "model", "module"]

    let records: [TensorRecord]

    init(_ mapping: FileMapping) throws(CheckpointError) {
        let zip = try ZipArchive(mapping)
        let pickles = zip.entries.keys.filter { $0 == "data.pkl" || $0.hasSuffix("/data.pkl") }
        guard let pickle = pickles.first, pickles.count == 1 else {
            throw CheckpointError(
                code: .notACheckpoint,
                message: "\(mapping.path): a zip archive with \(pickles.count) data.pkl",
                hint: "name a file written by torch.save")
        }
        let folder = String(pickle.dropLast("data.pkl".count))
        if let order = zip.entries[folder + "byteorder"],
            !mapping.bytes[order].elementsEqual("little".utf8)
        {
            throw .unsupported(
                mapping.path, "not little-endian", hint: "save it again on a little-endian machine")
        }
        var interpreter = PickleInterpreter(
            UnsafeRawBufferPointer(rebasing: mapping.bytes[zip.entries[pickle]!]))
        let named: [(String, PickleTensor)]
        do {
            let root = try interpreter.run()
            named = try interpreter.namedTensors(of: root)
        } catch {
            throw CheckpointError(
                code: error.code,
                message: "\(mapping.path): \(pickle), byte \(error.offset): \(error.what)",
                hint: error.code == .forbiddenGlobal
                    ? "a checkpoint holds tensors and no code; save the plain state_dict, or convert it to safetensors"
                    : CheckpointError.replaceHint)
        }
        var records: [TensorRecord] = []
        records.reserveCapacity(named.count)
        for (name, tensor) in named {
            records.append(try Self.record(name, tensor, mapping, zip, folder))
        }
        self.records = records
    }

    private static func record(
        _ name: String, _ tensor: PickleTensor, _ mapping: FileMapping, _ zip: ZipArchive,
        _ folder: String
    ) throws(CheckpointError) -> TensorRecord {
        let entry = "\(folder)data/\(tensor.storage.key)"
        guard let range = zip.entries[entry] else {
            throw .malformed(mapping.path, "tensor \(quoted(name)): the archive lacks \(quoted(entry))")
        }
        let width = tensor.storage.dtype?.byteCount ?? 1
        let (needed, overflow) = tensor.storage.elementCount.multipliedReportingOverflow(by: width)
        guard !overflow, needed <= range.count else {
            throw .malformed(
                mapping.path,
                "tensor \(quoted(name)): a storage of \(tensor.storage.elementCount) elements in \(range.count) bytes"
            )
        }
        return try TensorRecord(
            name: name, shape: tensor.shape, strides: tensor.strides, elementOffset: tensor.elementOffset,
            dtype: tensor.dtype, mapping: mapping, storage: range.lowerBound..<range.lowerBound + needed)
    }
}

extension PickleInterpreter {
    /// The tensors of a state dict, or of the one nested in it; unique names, in the order of the file.
    func namedTensors(of value: PickleValue) throws(Failure) -> [(String, PickleTensor)] {
        guard case .dictionary(let index) = value else {
            throw fail("holds \(value.kind), not a dict of tensors")
        }
        var tensors = try tensors(in: dictionaries[index])
        if tensors.isEmpty {
            for key in TorchArchive.nestedKeys {
                for item in dictionaries[index] {
                    guard case .string(key) = item.key, case .dictionary(let nested) = item.value else {
                        continue
                    }
                    tensors += try self.tensors(in: dictionaries[nested])
                }
                if !tensors.isEmpty { break }
            }
        }
        guard !tensors.isEmpty else { throw fail("holds no named tensors", code: .notACheckpoint) }
        var seen: Set<String> = []
        for (name, _) in tensors where !seen.insert(name).inserted {
            throw fail("tensor \(quoted(name)) appears twice")
        }
        return tensors
    }

    private func tensors(
        in items: [(key: PickleValue, value: PickleValue)]
    ) throws(Failure) -> [(String, PickleTensor)] {
        var result: [(String, PickleTensor)] = []
        for item in items {
            guard case .tensor(let tensor) = item.value else { continue }
            guard case .string(let name) = item.key else {
                throw fail("a tensor whose name is \(item.key.kind)")
            }
            result.append((name, tensor))
        }
        return result
    }
}
