import Foundation

/// A value of a JSON file with the way to it, so that what is missing can be named.
struct Record {
    let value: Any
    let path: String

    init(_ value: Any, path: String) {
        self.value = value
        self.path = path
    }

    init(file: URL) throws {
        let data = try Data(contentsOf: file)
        self.init(try JSONSerialization.jsonObject(with: data), path: file.lastPathComponent)
    }

    private var object: [String: Any]? { value as? [String: Any] }

    var keys: [String] { object?.keys.sorted() ?? [] }

    func has(_ key: String) -> Bool { optional(key) != nil }

    func optional(_ key: String) -> Record? {
        guard let found = object?[key], !(found is NSNull) else { return nil }
        return Record(found, path: "\(path).\(key)")
    }

    subscript(key: String) -> Record {
        get throws {
            guard let found = optional(key) else { throw CaseError("\(path) has no \(key)") }
            return found
        }
    }

    var string: String { get throws { try cast("a text") } }

    var double: Double {
        get throws {
            guard let number = value as? NSNumber else { throw CaseError("\(path) is not a number") }
            return number.doubleValue
        }
    }

    var int: Int {
        get throws {
            guard let number = value as? NSNumber, let int = Int(exactly: number.doubleValue) else {
                throw CaseError("\(path) is not a whole number")
            }
            return int
        }
    }

    /// A seed: any whole number up to 2^64 - 1.
    var unsigned: UInt64 {
        get throws {
            guard let number = value as? NSNumber, number.doubleValue >= 0 else {
                throw CaseError("\(path) is not a whole number of at least 0")
            }
            return number.uint64Value
        }
    }

    var bool: Bool { get throws { try cast("true or false") } }
    var array: [Record] {
        get throws {
            let values: [Any] = try cast("a list")
            return values.enumerated().map { Record($0.element, path: "\(path)[\($0.offset)]") }
        }
    }
    var ints: [Int] { get throws { try array.map { try $0.int } } }
    var doubles: [Double] { get throws { try array.map { try $0.double } } }
    var strings: [String] { get throws { try array.map { try $0.string } } }
    /// A text, or a list of them.
    var oneOrMoreStrings: [String] { get throws { value is String ? [try string] : try strings } }

    private func cast<T>(_ what: String) throws -> T {
        guard let typed = value as? T else { throw CaseError("\(path) is not \(what)") }
        return typed
    }
}
