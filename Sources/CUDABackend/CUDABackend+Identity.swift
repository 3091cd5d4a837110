import CUDADriver

extension CUDABackend {
    /// What a proof of the operations holds for: the GPU and its driver, the compiler, the kernels and the ways taken.
    /// - Throws: `CUDAError` if a library or the GPU is missing, or the GPU is too old.
    public static func identity(device index: Int, fastPaths: Set<FastPath> = FastPath.chosen) throws -> String {
        let driver = try CUDADriver()
        let device = try chosen(index, of: driver.devices())
        let compiler = try KernelCompiler()
        let products = fastPaths.contains(.library) ? (try? MatrixProducts.location()) ?? "none" : "left out"
        let texts = KernelSource.all.map(\.text).sorted() + KernelSource.headers.values.sorted()
        let parts =
            [device.name, device.architecture, driver.version, compiler.version, products]
            + fastPaths.map(\.rawValue).sorted() + texts
        return KernelCache.hash(Array(parts.joined(separator: "\0").utf8))
    }

    /// - Throws: `CUDAError` "noDevice".
    static func chosen(_ index: Int, of devices: [CUDADevice]) throws -> CUDADevice {
        guard devices.indices.contains(index) else {
            throw CUDAError(
                .noDevice, devices.isEmpty ? "the driver shows no GPU" : "there is no GPU \(index)",
                hint: devices.isEmpty
                    ? "CUDA_VISIBLE_DEVICES may hide it" : "GPUs are numbered 0 to \(devices.count - 1)")
        }
        let device = devices[index]
        guard device.isSupported else {
            throw CUDAError(
                .noDevice, "\(device.name) has compute capability \(device.major).\(device.minor)",
                hint: "8.0 (Ampere) or later is needed; films can be made on the CPU")
        }
        return device
    }
}
