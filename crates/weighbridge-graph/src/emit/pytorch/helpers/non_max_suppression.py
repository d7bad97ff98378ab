def non_max_suppression(boxes, scores, most, overlap, least, center_point_box=False):
    """Rows of batch, class and box: the best boxes that do not overlap better ones."""
    if center_point_box:
        middle, half = boxes[..., :2], boxes[..., 2:] / 2
        boxes = torch.cat([middle - half, middle + half], dim=-1)
    low = torch.minimum(boxes[..., :2], boxes[..., 2:])
    high = torch.maximum(boxes[..., :2], boxes[..., 2:])
    areas = (high - low).prod(dim=-1)
    rows = []
    for batch in range(scores.shape[0]):
        for kind in range(scores.shape[1]):
            score = scores[batch, kind]
            order = torch.sort(score, descending=True, stable=True).indices
            if least is not None:
                order = order[score[order] > least]
            kept = 0
            while len(order) > 0 and kept < most:
                best, order = order[0], order[1:]
                rows.append([batch, kind, best.item()])
                kept += 1
                corner = torch.minimum(high[batch, order], high[batch, best])
                size = corner - torch.maximum(low[batch, order], low[batch, best])
                shared = size.clamp(min=0).prod(dim=-1)
                union = areas[batch, order] + areas[batch, best] - shared
                order = order[~((shared > 0) & (shared / union > overlap))]
    return torch.tensor(rows, dtype=torch.int64, device=boxes.device).reshape(-1, 3)
