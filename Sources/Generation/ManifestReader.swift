import Foundation

/// A value of a manifest with the way to it, so that an error can name file and key.
struct ManifestReader {
    private let value: Any
    /// "model.json: modes.t2v".
    let place: String

    init(json data: Data, file: String) throws {
        do {
            value = try JSONSerialization.jsonObject(with: data)
        } catch {
            throw GenerationError(.manifest, "\(file): not JSON", hint: "compare it with another model's \(file)")
        }
        place = file
    }

    private init(_ value: Any, _ place: String) {
        self.value = value
        self.place = place
    }

    func fail(_ what: String, hint: String) -> GenerationError {
        GenerationError(.manifest, "\(place) \(what)", hint: hint)
    }

    var isObject: Bool { value is [String: Any] }

    private func object() throws -> [String: Any] {
        guard let object = value as? [String: Any] else {
            throw fail("is not an object", hint: "write { \"key\": value }")
        }
        return object
    }

    func keys() throws -> [String] { try object().keys.sorted() }

    /// Refuses keys that mean nothing here.
    func allow(_ known: [String]) throws {
        for key in try keys() where !known.contains(key) {
            throw GenerationError(
                .manifest, "\(path(key)) is not a known key", hint: "known are \(known.joined(separator: ", "))")
        }
    }

    private func path(_ key: String) -> String { place.contains(":") ? "\(place).\(key)" : "\(place): \(key)" }

    func optional(_ key: String) throws -> ManifestReader? {
        guard let found = try object()[key], !(found is NSNull) else { return nil }
        return ManifestReader(found, path(key))
    }

    func required(_ key: String) throws -> ManifestReader {
        guard let found = try optional(key) else {
            throw GenerationError(.manifest, "\(path(key)) is missing", hint: "add it")
        }
        return found
    }

    /// A text that is not empty.
    func text() throws -> String {
        guard let text = value as? String, !text.isEmpty, text.utf8.count <= 256,
            !text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F })
        else { throw fail("is not a text", hint: "write a text of at most 256 bytes in quotes") }
        return text
    }

    /// The name of a file or folder directly inside the model's folder.
    func fileName() throws -> String {
        let name = try text()
        guard !name.contains("/"), !name.contains("\\"), !name.hasPrefix("."), !name.hasPrefix("~") else {
            throw fail("is \"\(name)\", which is no plain file name", hint: "name a file inside the model's own folder")
        }
        return name
    }

    func int(_ range: ClosedRange<Int>) throws -> Int {
        guard let number = value as? NSNumber, !Self.isBool(number), let int = Int(exactly: number.doubleValue),
            range.contains(int)
        else {
            throw fail(
                "is not a whole number from \(range.lowerBound) to \(range.upperBound)", hint: "change the number")
        }
        return int
    }

    func double(_ range: ClosedRange<Double>) throws -> Double {
        guard let number = value as? NSNumber, !Self.isBool(number), range.contains(number.doubleValue) else {
            throw fail("is not a number from \(range.lowerBound) to \(range.upperBound)", hint: "change the number")
        }
        return number.doubleValue
    }

    func bool() throws -> Bool {
        guard let number = value as? NSNumber, Self.isBool(number) else {
            throw fail("is not true or false", hint: "write true or false")
        }
        return number.boolValue
    }

    func choice<T: RawRepresentable & CaseIterable>(_ type: T.Type) throws -> T where T.RawValue == String {
        let text = try text()
        guard let choice = T(rawValue: text) else {
            throw fail(
                "is \"\(text)\"", hint: "use one of \(T.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return choice
    }

    /// `[width, height]`.
    func pair() throws -> (Int, Int) {
        guard let list = value as? [Any], list.count == 2 else {
            throw fail("is not [width, height]", hint: "write two numbers")
        }
        let parts = list.map { ManifestReader($0, place) }
        return (try parts[0].int(16...8192), try parts[1].int(16...8192))
    }

    /// JSON's true and false come as numbers too; their type tells.
    private static func isBool(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }
}
