import Foundation

/// A shared library opened at run time; stays open for the life of the process.
final class DynamicLibrary: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: the handle never changes, and dlsym may be called from any thread.
    private let handle: UnsafeMutableRawPointer
    /// What was opened: a name that the loader found, or a path.
    let path: String

    private init(_ handle: UnsafeMutableRawPointer, _ path: String) { (self.handle, self.path) = (handle, path) }

    /// Opens the first of `names` that opens: in each of `first`, by the loader's own search, then in each of `folders`.
    ///
    /// - Parameter prepare: called with a folder before a library in it is opened.
    /// - Throws: `CUDAError` "missing", which tells where it was looked for.
    static func open(
        _ names: [String], first: [String] = [], in folders: [String], prepare: (String) -> Void = { _ in }
    ) throws -> DynamicLibrary {
        for folder in first + [""] + folders {
            if !folder.isEmpty {
                guard names.contains(where: { FileManager.default.fileExists(atPath: folder + "/" + $0) }) else {
                    continue
                }
                prepare(folder)
            }
            for name in names {
                let path = folder.isEmpty ? name : folder + "/" + name
                if let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) { return DynamicLibrary(handle, path) }
            }
        }
        throw CUDAError(
            .missing, "\(names[0]) was not found",
            hint: "looked in the loader's own path"
                + (folders.isEmpty ? "" : " and in " + folders.joined(separator: ", ")))
    }

    /// The function `name`, of the type that the caller vouches for.
    func function<Function>(_ name: String, as type: Function.Type = Function.self) throws -> Function {
        guard let symbol = dlsym(handle, name) else {
            throw CUDAError(.missing, "\(path) has no \(name)", hint: "the library is too old")
        }
        return unsafeBitCast(symbol, to: type)
    }
}

/// Where CUDA's libraries are looked for after the loader's own path.
public enum CUDAFolders {
    /// `DROPREEL_CUDA_LIBRARIES` (folders separated by colons), then where the toolkit installs itself.
    public static var all: [String] {
        let stated = ProcessInfo.processInfo.environment["DROPREEL_CUDA_LIBRARIES"]?.split(separator: ":") ?? []
        return stated.map(String.init) + [
            "/usr/local/cuda/targets/x86_64-linux/lib", "/usr/local/cuda/lib64", "/usr/lib/x86_64-linux-gnu",
            "/opt/cuda/lib64",
        ]
    }
}
