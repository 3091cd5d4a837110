import Tensors

/// Parameters that wait in host memory: what comes back is what was saved, and no copy overtakes the work that reads or
/// writes the same memory before it.
func checkStreaming(_ c: Check) throws {
    guard let backend = c.backend as? any StreamingBackend else { return }
    var random = Values(seed: 21)
    let sizes = [[333], [128, 1024], [7, 77], [1 << 20]]
    var images: [(image: any ParameterImage, layout: ParameterLayout, values: [[Float]])] = []
    for _ in 0..<3 {
        let values = sizes.map { random.normal($0.reduce(1, *)) }
        let tensors = try zip(sizes, values).map { try backend.upload(HostTensor(shape: $0, values: $1), as: .f32) }
        images.append((try backend.save(tensors), ParameterLayout(tensors), values))
        // What was saved is the values, whatever comes after.
        for tensor in tensors { backend.fill(tensor, with: -7) }
    }
    let layout = images[0].layout
    let slot = try backend.allocate([layout.byteCount], .u8)
    let parts = layout.tensors(in: slot)
    var copies: [(round: Int, part: Int, tensor: Tensor)] = []
    for round in 0..<9 {
        try backend.finishLoading(try backend.beginLoading(images[round % 3].image, into: slot))
        // Read by work that is still queued when the next image comes into the same memory.
        for (index, part) in parts.enumerated() {
            let copy = try backend.allocate(part.shape, .f32)
            for _ in 0..<(index == 3 ? 8 : 1) { backend.copy(part, into: copy) }
            copies.append((round, index, copy))
        }
        if round % 3 == 1 { for part in parts { backend.fill(part, with: 5) } }
    }
    try backend.check()
    for (round, part, tensor) in copies {
        c.same(
            "image \(round % 3), part \(part), round \(round)", backend.download(tensor), images[round % 3].values[part]
        )
    }
}
