import Tensors

extension PickleInterpreter {
    /// `('storage', torch.FloatStorage, key, location, elementCount)`.
    mutating func loadPersistent() throws(Failure) {
        guard case .tuple(let index) = try pop() else { throw fail("a persistent id that is no tuple") }
        let items = sequences[index]
        guard items.count == 5, case .string("storage") = items[0], case .global(let kind) = items[1],
            case .string(let key) = items[2], case .string = items[3], case .int(let count) = items[4],
            count >= 0
        else { throw fail("a persistent id that names no storage") }
        let dtype: DType?
        switch kind {
        case .storage(let type): dtype = type
        case .untypedStorage: dtype = nil
        default: throw fail("\(kind.name) is no storage")
        }
        stack.append(.storage(PickleStorage(key: key, dtype: dtype, elementCount: count)))
    }

    /// REDUCE: what calling one of the allowed names on these arguments means.
    mutating func reduce() throws(Failure) {
        guard case .tuple(let index) = try pop() else { throw fail("arguments that are no tuple") }
        let arguments = sequences[index]
        guard case .global(let global) = try pop() else {
            throw fail("calls something that is no name")
        }
        switch global {
        case .orderedDictionary: try makeOrderedDictionary(arguments)
        case .rebuildTensor: stack.append(.tensor(try tensor(arguments, typed: false)))
        case .rebuildTensorWithType: stack.append(.tensor(try tensor(arguments, typed: true)))
        case .rebuildParameter:
            guard arguments.count == 3, case .tensor = arguments[0] else {
                throw fail("a parameter without a tensor")
            }
            stack.append(arguments[0])
        case .size:
            guard arguments.count == 1 else { throw fail("torch.Size of \(arguments.count) arguments") }
            stack.append(arguments[0])
        case .storage, .untypedStorage, .dtype:
            throw fail("calls \(global.name)", code: .forbiddenGlobal)
        }
    }

    /// `OrderedDict()` or `OrderedDict([(key, value), ...])`.
    private mutating func makeOrderedDictionary(_ arguments: [PickleValue]) throws(Failure) {
        var items: [(key: PickleValue, value: PickleValue)] = []
        if let first = arguments.first {
            guard arguments.count == 1, case .list(let list) = first else {
                throw fail("OrderedDict of \(first.kind)")
            }
            for pair in sequences[list] {
                switch pair {
                case .tuple(let index) where sequences[index].count == 2,
                    .list(let index) where sequences[index].count == 2:
                    items.append((sequences[index][0], sequences[index][1]))
                default: throw fail("OrderedDict of something but pairs")
                }
            }
        }
        dictionaries.append(items)
        stack.append(.dictionary(dictionaries.count - 1))
    }

    /// `(storage, offset, size, stride, requires_grad, backward_hooks[, dtype][, metadata])`.
    private func tensor(_ arguments: [PickleValue], typed: Bool) throws(Failure) -> PickleTensor {
        guard arguments.count >= (typed ? 7 : 6), arguments.count <= 8,
            case .storage(let storage) = arguments[0],
            case .int(let offset) = arguments[1]
        else { throw fail("a tensor without storage and offset") }
        let dtype: DType
        if typed {
            guard case .global(.dtype(let type)) = arguments[6] else {
                throw fail("a tensor whose type is no torch type")
            }
            dtype = type
        } else {
            guard let type = storage.dtype else { throw fail("a tensor of unknown type") }
            dtype = type
        }
        return PickleTensor(
            storage: storage, dtype: dtype, elementOffset: offset, shape: try integers(arguments[2]),
            strides: try integers(arguments[3]))
    }

    private func integers(_ value: PickleValue) throws(Failure) -> [Int] {
        let items: [PickleValue]
        switch value {
        case .tuple(let index), .list(let index): items = sequences[index]
        default: throw fail("sizes or strides that are no tuple")
        }
        guard items.count <= 64 else {
            throw fail("a tensor of \(items.count) dimensions", code: .limit)
        }
        var result: [Int] = []
        for item in items {
            guard case .int(let integer) = item else { throw fail("a size or stride that is no integer") }
            result.append(integer)
        }
        return result
    }
}
