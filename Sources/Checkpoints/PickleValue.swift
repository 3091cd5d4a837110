import Tensors

/// What a pickle can hold here. Containers are indices into the interpreter's arena, so that a pickle that contains
/// itself makes no reference cycle and costs no recursion.
enum PickleValue {
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case string(String)
    case bytes
    case tuple(Int)
    case list(Int)
    case dictionary(Int)
    case set
    case global(PickleGlobal)
    case storage(PickleStorage)
    case tensor(PickleTensor)

    /// As it is called in an error.
    var kind: String {
        switch self {
        case .none: "None"
        case .bool: "a bool"
        case .int: "an int"
        case .float: "a float"
        case .string: "a string"
        case .bytes: "bytes"
        case .tuple: "a tuple"
        case .list: "a list"
        case .dictionary: "a dict"
        case .set: "a set"
        case .global(let global): global.name
        case .storage: "a storage"
        case .tensor: "a tensor"
        }
    }
}

/// The classes and functions a checkpoint may name. None of them runs any code of the file's.
enum PickleGlobal: Hashable {
    case orderedDictionary
    case rebuildTensor
    /// `_rebuild_tensor_v3`, which carries its data type beside an untyped storage.
    case rebuildTensorWithType
    case rebuildParameter
    case size
    /// `torch.FloatStorage` and so on.
    case storage(DType)
    case untypedStorage
    /// `torch.bfloat16` and so on.
    case dtype(DType)

    /// The allow-list. A name that is not here is an error.
    static let allowed: [String: PickleGlobal] = [
        "collections.OrderedDict": .orderedDictionary,
        "torch._utils._rebuild_tensor_v2": .rebuildTensor,
        "torch._utils._rebuild_tensor_v3": .rebuildTensorWithType,
        "torch._utils._rebuild_parameter": .rebuildParameter,
        "torch.Size": .size,
        "torch.DoubleStorage": .storage(.f64),
        "torch.FloatStorage": .storage(.f32),
        "torch.HalfStorage": .storage(.f16),
        "torch.BFloat16Storage": .storage(.bf16),
        "torch.LongStorage": .storage(.i64),
        "torch.IntStorage": .storage(.i32),
        "torch.ShortStorage": .storage(.i16),
        "torch.CharStorage": .storage(.i8),
        "torch.ByteStorage": .storage(.u8),
        "torch.BoolStorage": .storage(.bool),
        "torch.UntypedStorage": .untypedStorage,
        "torch.storage.UntypedStorage": .untypedStorage,
        "torch.float64": .dtype(.f64),
        "torch.float32": .dtype(.f32),
        "torch.float16": .dtype(.f16),
        "torch.bfloat16": .dtype(.bf16),
        "torch.float8_e4m3fn": .dtype(.f8e4m3),
        "torch.int64": .dtype(.i64),
        "torch.int32": .dtype(.i32),
        "torch.int16": .dtype(.i16),
        "torch.int8": .dtype(.i8),
        "torch.uint8": .dtype(.u8),
        "torch.bool": .dtype(.bool),
    ]

    var name: String { Self.allowed.first { $0.value == self }!.key }
}

/// A storage by its entry in the archive; `dtype` is nil where the pickle left it untyped.
struct PickleStorage {
    let key: String
    let dtype: DType?
    let elementCount: Int
}

/// A view into a storage, not yet checked against it.
struct PickleTensor {
    let storage: PickleStorage
    let dtype: DType
    let elementOffset: Int
    let shape: [Int]
    let strides: [Int]
}
